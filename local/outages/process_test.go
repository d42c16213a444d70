package outages_test

import (
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a program that is started again whenever it ends, as an orchestrator does.
type process struct {
	name string
	// command returns the program, ready to start.
	command func() *exec.Cmd
	// graceful is the signal that asks it to stop.
	graceful syscall.Signal
	// logFile takes what the program prints.
	logFile *os.File

	mu      sync.Mutex
	running *exec.Cmd
	exited  chan struct{}
	// wanted: it is started again when it ends.
	wanted bool
	// exits counts how often it ended by itself.
	exits int
}

// restartDelay is how long it takes until a program that has ended by itself is started
// again.
const restartDelay = 200 * time.Millisecond

// start runs the program until stop or kill.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	return p.startLocked()
}

func (p *process) startLocked() error {
	cmd := p.command()
	cmd.Stdout, cmd.Stderr = p.logFile, p.logFile
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// Signals reach its children too, which PostgreSQL has.
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	p.running, p.exited = cmd, exited
	go func() {
		_ = cmd.Wait()
		close(exited)
		p.startAgain(cmd)
	}()
	return nil
}

// startAgain starts a program again that has ended by itself.
func (p *process) startAgain(ended *exec.Cmd) {
	<-time.After(restartDelay)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted && p.running == ended {
		p.exits++
		_ = p.startLocked()
	}
}

// endedByItself is how often the program ended without being asked to.
func (p *process) endedByItself() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exits
}

// signal signals the program and all of its children.
func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signalLocked(s)
}

func (p *process) signalLocked(s syscall.Signal) error {
	err := syscall.Kill(-p.running.Process.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return nil // it has ended by itself
	}
	return err
}

// end ends the program by a signal and waits for its end.
func (p *process) end(s syscall.Signal) error {
	p.mu.Lock()
	p.wanted = false
	exited := p.exited
	if exited == nil {
		p.mu.Unlock()
		return nil // it was never started
	}
	err := p.signalLocked(s)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-exited:
	case <-time.After(gracefulLimit):
		err = errors.Join(p.signal(syscall.SIGKILL), errors.New(p.name+" did not stop in time"))
		<-exited
	}
	return err
}

// gracefulLimit is how long a program may take to stop.
const gracefulLimit = time.Minute
