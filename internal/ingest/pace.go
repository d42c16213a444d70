package ingest

import (
	"context"
	"time"

	"sessionkeeper/internal/cloudevent"
)

// pace lets events happen now, with the gaps of their own times, speed times
// faster.
type pace struct {
	speed float64
	// origin is the time of the first event, which was played at start.
	origin, start time.Time
}

// wait waits until it is the event's turn, and returns it moved to now. Events
// that are out of order are not waited for: they arrive late, as they did. One
// without a time is of now.
func (p *pace) wait(ctx context.Context, e cloudevent.Event) (cloudevent.Event, error) {
	if e.At.IsZero() {
		return e, nil
	}
	if p.origin.IsZero() {
		p.origin, p.start = e.At, time.Now()
	}
	at := p.start.Add(time.Duration(float64(e.At.Sub(p.origin)) / p.speed))
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return e.MovedTo(at, p.speed), nil
	case <-ctx.Done():
		return e, ctx.Err()
	}
}
