package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverJob is River with one job for each conversation. River cannot move a job
// (https://github.com/riverqueue/river/issues/123), so a message writes the
// deadline to a table of the application, which is one statement. A job that
// runs too early snoozes until the deadline. River looks for scheduled jobs
// every five seconds, which no setting changes.
func riverJob() Engine {
	return Engine{
		Key: "river", Name: "River", Library: "github.com/riverqueue/river",
		Open: func(ctx context.Context, setup Setup) (Instance, error) {
			pool, err := newDatabase(ctx, setup,
				`CREATE TABLE conversations (id text PRIMARY KEY, deadline timestamptz NOT NULL)`)
			if err != nil {
				return nil, err
			}
			s := &riverJobs{setup: setup, pool: pool}
			if err := s.start(ctx); err != nil {
				pool.Close()
				return nil, fmt.Errorf("start River: %w", err)
			}
			return s, nil
		},
	}
}

// riverJobs has a row for every conversation that has a job.
type riverJobs struct {
	setup Setup
	pool  *pgxpool.Pool
	river *river.Client[pgx.Tx]
}

type idleJob struct {
	Conversation string `json:"conversation"`
}

// Kind implements [river.JobArgs].
func (idleJob) Kind() string { return "idle" }

func (s *riverJobs) start(ctx context.Context) error {
	driver := riverpgxv5.New(s.pool)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: noLogs})
	if err != nil {
		return fmt.Errorf("migrator: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(s.runJob))
	s.river, err = river.NewClient(driver, &river.Config{
		Logger: noLogs, Workers: workers, FetchPollInterval: 100 * time.Millisecond,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxParallelCalls}},
	})
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	// River runs until Close stops it.
	return s.river.Start(context.WithoutCancel(ctx))
}

type riverConversation struct {
	*riverJobs
	id string
}

func (s *riverJobs) StartConversation(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := riverConversation{s, id}
	return c, c.Message(ctx, at)
}

func (c riverConversation) Message(ctx context.Context, at time.Time) error {
	deadline := at.Add(c.setup.Idle)
	moved, err := c.pool.Exec(ctx, `UPDATE conversations SET deadline = $2 WHERE id = $1`, c.id, deadline)
	if err != nil || moved.RowsAffected() > 0 {
		return err
	}
	return pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO conversations (id, deadline) VALUES ($1, $2)`, c.id, deadline)
		if err != nil {
			return err
		}
		_, err = c.river.InsertTx(ctx, tx, idleJob{Conversation: c.id}, &river.InsertOpts{ScheduledAt: deadline})
		return err
	})
}

// runJob makes the idle call when the deadline is reached. One transaction
// removes the row and completes the job, so that a message finds both or none.
func (s *riverJobs) runJob(ctx context.Context, job *river.Job[idleJob]) error {
	id := job.Args.Conversation
	deadline, err := s.IdleDeadline(ctx, id)
	if err != nil || deadline.IsZero() {
		return err
	}
	if early := time.Until(deadline); early > 0 {
		return river.JobSnooze(early)
	}
	if err := s.setup.Call(ctx, id); err != nil {
		return err
	}
	var done bool
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		removed, err := tx.Exec(ctx, `DELETE FROM conversations WHERE id = $1 AND deadline = $2`, id, deadline)
		if done = removed.RowsAffected() > 0; err != nil || !done {
			return err
		}
		_, err = river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
	if err != nil {
		return fmt.Errorf("complete the job of %s: %w", id, err)
	}
	if !done { // a message came during the call
		return s.runJob(ctx, job)
	}
	return nil
}

func (s *riverJobs) IdleDeadline(ctx context.Context, id string) (time.Time, error) {
	return storedDeadline(ctx, s.pool, id)
}

func (s *riverJobs) StoredBytes(ctx context.Context) (int64, error) {
	return s.setup.Stores.Postgres.Size(ctx, databaseName)
}

func (s *riverJobs) Close(ctx context.Context) error {
	err := s.river.Stop(ctx)
	s.pool.Close()
	return err
}
