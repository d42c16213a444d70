package stores

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sessionkeeper/compare/process"
)

// startStopTimeout bounds the start and the stop of a server.
const startStopTimeout = 30 * time.Second

// waitUntilReady returns when check succeeds. It is an error when the server
// ends before that, or takes too long.
func waitUntilReady(ctx context.Context, server *process.Process, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startStopTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-server.Ended():
			return fmt.Errorf("the server ended: %w", errors.Join(server.Err(), err))
		case <-ctx.Done():
			return fmt.Errorf("the server does not respond: %w; its output: %s",
				errors.Join(ctx.Err(), err), server.Output())
		case <-tick.C:
		}
	}
}
