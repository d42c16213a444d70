package ingest

import (
	"context"
	"time"

	"sessionkeeper/starter/events"
)

// pace lets events happen now, with the gaps of their own times.
type pace struct {
	speed  float64
	origin time.Time
	start  time.Time
}

// wait waits until it is the event's turn, and returns it moved to now. Events
// that are out of order are not waited for: they arrive late, as they did.
func (p *pace) wait(ctx context.Context, e events.Event) (events.Event, error) {
	if e.At.IsZero() {
		return e, nil
	}
	if p.origin.IsZero() {
		p.origin, p.start = e.At, time.Now()
	}
	speed := p.speed
	if speed <= 0 {
		speed = 1
	}
	at := p.start.Add(time.Duration(float64(e.At.Sub(p.origin)) / speed))
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return e.MovedTo(at), nil
	case <-ctx.Done():
		return e, ctx.Err()
	}
}
