// Package process runs another program and sees to it that it ends.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a program that runs.
type Process struct {
	command *exec.Cmd
	polite  os.Signal
	said    *tail
	ended   chan struct{}
	err     error // how it ended, once it has
}

// Start runs a command in a process group of its own, so that an interrupt of
// the terminal reaches only us, who then stop it. polite is the signal that asks
// it to end. What it says is kept unless the command says where to.
func Start(command *exec.Cmd, polite os.Signal) (*Process, error) {
	p := &Process{command: command, polite: polite, said: &tail{}, ended: make(chan struct{})}
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
	if command.Stdout == nil {
		command.Stdout = p.said
	}
	if command.Stderr == nil {
		command.Stderr = p.said
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", command.Path, err)
	}
	go func() {
		p.err = command.Wait()
		close(p.ended)
	}()
	return p, nil
}

// PID is its process id.
func (p *Process) PID() int { return p.command.Process.Pid }

// Ended is closed once it has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Err waits for the end and tells how it ended, with the last it said.
func (p *Process) Err() error {
	<-p.ended
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", p.err, p.Said())
}

// Said is the end of what it has said so far.
func (p *Process) Said() string { return p.said.String() }

// Stop asks it to end, kills it and its group when it has not done so in time,
// and returns when it is gone. Nil is not running.
func (p *Process) Stop(patience time.Duration) error {
	if p == nil {
		return nil
	}
	if err := p.command.Process.Signal(p.polite); errors.Is(err, os.ErrProcessDone) {
		<-p.ended
		return nil
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
	}
	if err := syscall.Kill(-p.PID(), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.command.Path, err)
	}
	<-p.ended
	return fmt.Errorf("%s had to be killed", p.command.Path)
}

// tail keeps the end of what is written.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, text...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(text), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}
