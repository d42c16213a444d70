package outages_test

import (
	"context"
	"io"
	"net"
	"sync"
)

// link passes on TCP connections to an address, until it is cut. While it is stalled, the
// connections stay open and nothing is passed on; afterwards what was sent arrives, as
// with TCP. (Toxiproxy drops it, which breaks the stream.)
type link struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	state linkState
	// changed is closed when the state changes.
	changed     chan struct{}
	connections map[net.Conn]struct{}
}

type linkState int

const (
	open linkState = iota
	stalled
	cut // connections are closed, and new ones are refused
)

func newLink(ctx context.Context, target string) (*link, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{
		listener: listener, target: target,
		changed: make(chan struct{}), connections: map[net.Conn]struct{}{},
	}
	go l.accept(ctx)
	return l, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

func (l *link) close() {
	_ = l.listener.Close()
	l.set(cut)
}

func (l *link) set(s linkState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	close(l.changed)
	l.changed = make(chan struct{})
	if s == cut {
		for c := range l.connections {
			_ = c.Close()
		}
	}
}

func (l *link) accept(ctx context.Context) {
	for {
		from, err := l.listener.Accept()
		if err != nil {
			return
		}
		if !l.add(from) {
			continue
		}
		to, err := new(net.Dialer).DialContext(ctx, "tcp", l.target)
		if err != nil {
			l.remove(from)
			continue
		}
		if !l.add(to) {
			l.remove(from)
			continue
		}
		go l.pass(from, to)
		go l.pass(to, from)
	}
}

// add takes a connection, unless the link is cut.
func (l *link) add(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == cut {
		_ = c.Close()
		return false
	}
	l.connections[c] = struct{}{}
	return true
}

func (l *link) remove(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = c.Close()
	delete(l.connections, c)
}

// pass copies what one side sends, until one of the connections is closed.
func (l *link) pass(from, to net.Conn) {
	defer l.remove(from)
	defer l.remove(to)
	_, _ = io.Copy(gate{link: l, Writer: to}, from)
}

// gate writes only while the link is not stalled.
type gate struct {
	io.Writer
	link *link
}

func (g gate) Write(p []byte) (int, error) {
	for {
		g.link.mu.Lock()
		state, changed := g.link.state, g.link.changed
		g.link.mu.Unlock()
		if state != stalled {
			return g.Writer.Write(p)
		}
		<-changed
	}
}
