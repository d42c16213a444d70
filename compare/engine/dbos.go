package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// dbosDebouncer is DBOS's Debouncer: each message pushes the start of the
// conversation's workflow back. DBOS looks for what is due every second, which
// is no setting; its queue is polled more often than by default.
func dbosDebouncer() Engine {
	return Engine{
		Key: "dbos", Name: "DBOS Debouncer", Library: "github.com/dbos-inc/dbos-transact-golang",
		Open: func(ctx context.Context, setup Setup) (Session, error) {
			pool, err := database(ctx, setup, ``)
			if err != nil {
				return nil, err
			}
			s := &debounced{setup: setup, pool: pool}
			if err := s.start(ctx); err != nil {
				pool.Close()
				return nil, fmt.Errorf("start DBOS: %w", err)
			}
			return s, nil
		},
	}
}

type debounced struct {
	setup     Setup
	pool      *pgxpool.Pool
	dbos      dbos.Context
	debouncer *dbos.Debouncer[string, string]
}

func (s *debounced) start(ctx context.Context) (err error) {
	// It works until it is shut down.
	s.dbos, err = dbos.NewContext(context.WithoutCancel(ctx), dbos.Config{
		AppName: "bench", SystemDBPool: s.pool, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return fmt.Errorf("context: %w", err)
	}
	queue, err := dbos.RegisterQueue(s.dbos, "idle",
		dbos.WithQueueBasePollingInterval(100*time.Millisecond), dbos.WithWorkerConcurrency(callers))
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	dbos.RegisterWorkflow(s.dbos, s.idle, dbos.WithWorkflowName("idle"))
	if s.debouncer, err = dbos.NewDebouncer(s.dbos, s.idle, dbos.WithDebouncerQueue(queue.GetName())); err != nil {
		return fmt.Errorf("debouncer: %w", err)
	}
	return dbos.Launch(s.dbos)
}

// idle is the workflow.
func (s *debounced) idle(ctx dbos.Context, id string) (string, error) {
	return dbos.RunAsStep(ctx, func(ctx context.Context) (string, error) {
		return id, s.setup.Call(ctx, id)
	})
}

type debouncedKey struct {
	*debounced
	id string
}

func (s *debounced) Begin(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := debouncedKey{s, id}
	return c, c.Message(ctx, at)
}

// Message gives DBOS's own context: the deadline of another one would become a
// timeout of the workflow.
func (c debouncedKey) Message(_ context.Context, at time.Time) error {
	_, err := c.debouncer.Debounce(c.dbos, c.id, time.Until(at.Add(c.setup.Idle)), c.id)
	return err
}

// Due reads DBOS's table; its client has no query by debounce key.
func (s *debounced) Due(ctx context.Context, id string) (time.Time, error) {
	var due int64
	err := s.pool.QueryRow(ctx, `SELECT delay_until_epoch_ms FROM dbos.workflow_status
		WHERE status = 'DELAYED' AND deduplication_id = $1`, "idle-"+id).Scan(&due)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return time.UnixMilli(due), nil
}

func (s *debounced) Stored(ctx context.Context) (int64, error) {
	return s.setup.Stores.Postgres.Size(ctx, benchDatabase)
}

func (s *debounced) Close(context.Context) error {
	err := dbos.Shutdown(s.dbos, 10*time.Second)
	s.pool.Close()
	return err
}
