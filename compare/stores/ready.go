package stores

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sessionkeeper/compare/process"
)

// patience bounds the start and the stop of a server.
const patience = 30 * time.Second

// until returns once a server answers, and an error when it ends before, or
// takes too long.
func until(ctx context.Context, server *process.Process, answers func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-server.Ended():
			return fmt.Errorf("it ended: %w", errors.Join(server.Err(), err))
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w; it said: %s", errors.Join(ctx.Err(), err), server.Said())
		case <-tick.C:
		}
	}
}
