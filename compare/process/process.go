// Package process runs another program and makes sure that it ends.
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

// Process is a program that was started.
type Process struct {
	command    *exec.Cmd
	stopSignal os.Signal
	output     *tail
	ended      chan struct{}
	err        error // of the end; read it after ended is closed
}

// Start runs a command in a process group of its own, so that an interrupt from
// the terminal reaches only this process, which then stops the command.
// stopSignal is the signal that asks the command to end. The end of the
// command's output is kept, unless the command has a Stdout or Stderr.
func Start(command *exec.Cmd, stopSignal os.Signal) (*Process, error) {
	p := &Process{command: command, stopSignal: stopSignal, output: &tail{}, ended: make(chan struct{})}
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
	if command.Stdout == nil {
		command.Stdout = p.output
	}
	if command.Stderr == nil {
		command.Stderr = p.output
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

// PID is the process id.
func (p *Process) PID() int { return p.command.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Err waits for the end. The error says how the process failed, with the end of
// its output.
func (p *Process) Err() error {
	<-p.ended
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", p.err, p.Output())
}

// Output is the end of the output so far.
func (p *Process) Output() string { return p.output.String() }

// Stop asks the process to end, and kills it and its group after the timeout. It
// returns when the process has ended. A nil Process counts as ended.
func (p *Process) Stop(timeout time.Duration) error {
	if p == nil {
		return nil
	}
	if err := p.command.Process.Signal(p.stopSignal); errors.Is(err, os.ErrProcessDone) {
		<-p.ended
		return nil
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(timeout):
	}
	if err := syscall.Kill(-p.PID(), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.command.Path, err)
	}
	<-p.ended
	return fmt.Errorf("killed %s, which did not end within %v", p.command.Path, timeout)
}

// tail keeps the end of what is written to it.
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
