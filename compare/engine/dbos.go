package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// dbosDebouncer is DBOS's Debouncer: each message delays the start of the
// conversation's workflow. DBOS looks for due workflows every second, which no
// setting changes. Its queue is polled more often than by default.
func dbosDebouncer() Engine {
	return Engine{
		Key: "dbos", Name: "DBOS Debouncer", Library: "github.com/dbos-inc/dbos-transact-golang",
		Open: func(ctx context.Context, setup Setup) (Instance, error) {
			pool, err := newDatabase(ctx, setup, ``)
			if err != nil {
				return nil, err
			}
			s := &dbosInstance{setup: setup, pool: pool}
			if err := s.start(ctx); err != nil {
				pool.Close()
				return nil, fmt.Errorf("start DBOS: %w", err)
			}
			return s, nil
		},
	}
}

type dbosInstance struct {
	setup     Setup
	pool      *pgxpool.Pool
	dbos      dbos.Context
	debouncer *dbos.Debouncer[string, string]
}

func (s *dbosInstance) start(ctx context.Context) (err error) {
	// DBOS runs until Close shuts it down.
	s.dbos, err = dbos.NewContext(context.WithoutCancel(ctx), dbos.Config{
		AppName: "compare", SystemDBPool: s.pool, Logger: noLogs,
	})
	if err != nil {
		return fmt.Errorf("context: %w", err)
	}
	queue, err := dbos.RegisterQueue(s.dbos, "idle",
		dbos.WithQueueBasePollingInterval(100*time.Millisecond), dbos.WithWorkerConcurrency(maxParallelCalls))
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	dbos.RegisterWorkflow(s.dbos, s.idleWorkflow, dbos.WithWorkflowName("idle"))
	s.debouncer, err = dbos.NewDebouncer(s.dbos, s.idleWorkflow, dbos.WithDebouncerQueue(queue.GetName()))
	if err != nil {
		return fmt.Errorf("debouncer: %w", err)
	}
	return dbos.Launch(s.dbos)
}

// idleWorkflow makes the idle call.
func (s *dbosInstance) idleWorkflow(ctx dbos.Context, id string) (string, error) {
	return dbos.RunAsStep(ctx, func(ctx context.Context) (string, error) {
		return id, s.setup.Call(ctx, id)
	})
}

type debouncedConversation struct {
	*dbosInstance
	id string
}

func (s *dbosInstance) StartConversation(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := debouncedConversation{s, id}
	return c, c.Message(ctx, at)
}

// Message passes DBOS's own context: DBOS would make the deadline of another
// context the timeout of the workflow.
func (c debouncedConversation) Message(_ context.Context, at time.Time) error {
	_, err := c.debouncer.Debounce(c.dbos, c.id, time.Until(at.Add(c.setup.Idle)), c.id)
	return err
}

// IdleDeadline reads DBOS's table, because its client has no query by debounce
// key.
func (s *dbosInstance) IdleDeadline(ctx context.Context, id string) (time.Time, error) {
	var deadline int64
	err := s.pool.QueryRow(ctx, `SELECT delay_until_epoch_ms FROM dbos.workflow_status
		WHERE status = 'DELAYED' AND deduplication_id = $1`, "idle-"+id).Scan(&deadline)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return time.UnixMilli(deadline), nil
}

func (s *dbosInstance) StoredBytes(ctx context.Context) (int64, error) {
	return s.setup.Stores.Postgres.Size(ctx, databaseName)
}

func (s *dbosInstance) Close(context.Context) error {
	err := dbos.Shutdown(s.dbos, 10*time.Second)
	s.pool.Close()
	return err
}
