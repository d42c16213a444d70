package ingest

import (
	"context"
	"time"

	"sessionkeeper/internal/cloudevent"
)

// replayClock maps the time of the log to the current time: the time between two
// events is divided by speed.
type replayClock struct {
	speed float64
	// origin is the time of the first event in the log, start the time at which it
	// was sent.
	origin, start time.Time
}

// wait waits until the event is due, and returns it with the current time as its
// own. An event that is out of order is due at once and keeps its delay. An event
// without a time is returned unchanged.
func (c *replayClock) wait(ctx context.Context, e cloudevent.Event) (cloudevent.Event, error) {
	if e.At.IsZero() {
		return e, nil
	}
	if c.origin.IsZero() {
		c.origin, c.start = e.At, time.Now()
	}
	at := c.start.Add(time.Duration(float64(e.At.Sub(c.origin)) / c.speed))
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return e.MovedTo(at, c.speed), nil
	case <-ctx.Done():
		return e, ctx.Err()
	}
}
