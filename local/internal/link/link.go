// Package link passes on TCP connections, until a test cuts them.
package link

import (
	"context"
	"io"
	"net"
	"sync"
)

// Link passes on TCP connections to an address, until it is cut. While it is stalled, the
// connections stay open and nothing is passed on; afterwards what was sent arrives, as
// with TCP. (Toxiproxy drops it, which breaks the stream.)
type Link struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	state State
	// changed is closed when the state changes.
	changed     chan struct{}
	connections map[net.Conn]struct{}
}

// State says whether a link passes on what is sent.
type State int

// The states.
const (
	Open State = iota
	// Stalled: connections stay open, and nothing is passed on.
	Stalled
	// Cut: connections are closed, and new ones are refused.
	Cut
)

// New returns an open link to an address. It stops accepting connections when it is closed.
func New(ctx context.Context, target string) (*Link, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{
		listener: listener, target: target,
		changed: make(chan struct{}), connections: map[net.Conn]struct{}{},
	}
	go l.accept(ctx)
	return l, nil
}

// Address is where the link listens.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Close closes the link and its connections.
func (l *Link) Close() {
	_ = l.listener.Close()
	l.Set(Cut)
}

// Set changes the state.
func (l *Link) Set(s State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	close(l.changed)
	l.changed = make(chan struct{})
	if s == Cut {
		for c := range l.connections {
			_ = c.Close()
		}
	}
}

func (l *Link) accept(ctx context.Context) {
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
func (l *Link) add(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == Cut {
		_ = c.Close()
		return false
	}
	l.connections[c] = struct{}{}
	return true
}

func (l *Link) remove(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = c.Close()
	delete(l.connections, c)
}

// pass copies what one side sends, until one of the connections is closed.
func (l *Link) pass(from, to net.Conn) {
	defer l.remove(from)
	defer l.remove(to)
	_, _ = io.Copy(gate{link: l, Writer: to}, from)
}

// gate writes only while the link is not stalled.
type gate struct {
	io.Writer
	link *Link
}

func (g gate) Write(p []byte) (int, error) {
	for {
		g.link.mu.Lock()
		state, changed := g.link.state, g.link.changed
		g.link.mu.Unlock()
		if state != Stalled {
			return g.Writer.Write(p)
		}
		<-changed
	}
}
