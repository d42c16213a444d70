package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverSnooze is River with one job for each conversation. It cannot move a job
// (https://github.com/riverqueue/river/issues/123), so a message writes the
// deadline in a table of the application, one statement, and the job snoozes
// until then when it runs too early. River looks for scheduled jobs every five
// seconds, which is no setting.
func riverSnooze() Engine {
	return Engine{
		Key: "river", Name: "River", Library: "github.com/riverqueue/river",
		Open: func(ctx context.Context, setup Setup) (Session, error) {
			pool, err := database(ctx, setup, `CREATE TABLE conversations (id text PRIMARY KEY, deadline timestamptz NOT NULL)`)
			if err != nil {
				return nil, err
			}
			s := &snoozingJobs{setup: setup, pool: pool}
			if err := s.start(ctx); err != nil {
				pool.Close()
				return nil, fmt.Errorf("start River: %w", err)
			}
			return s, nil
		},
	}
}

// snoozingJobs has a row for every conversation that a job looks after.
type snoozingJobs struct {
	setup Setup
	pool  *pgxpool.Pool
	river *river.Client[pgx.Tx]
}

type idleJob struct {
	Conversation string `json:"conversation"`
}

// Kind implements river.JobArgs.
func (idleJob) Kind() string { return "idle" }

func (s *snoozingJobs) start(ctx context.Context) error {
	driver := riverpgxv5.New(s.pool)
	quiet := slog.New(slog.DiscardHandler)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return fmt.Errorf("migrator: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(s.work))
	s.river, err = river.NewClient(driver, &river.Config{
		Logger: quiet, Workers: workers, FetchPollInterval: 100 * time.Millisecond,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: callers}},
	})
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	// It works until it is stopped.
	return s.river.Start(context.WithoutCancel(ctx))
}

type jobRow struct {
	*snoozingJobs
	id string
}

func (s *snoozingJobs) Begin(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := jobRow{s, id}
	return c, c.Message(ctx, at)
}

func (c jobRow) Message(ctx context.Context, at time.Time) error {
	due := at.Add(c.setup.Idle)
	moved, err := c.pool.Exec(ctx, `UPDATE conversations SET deadline = $2 WHERE id = $1`, c.id, due)
	if err != nil || moved.RowsAffected() > 0 {
		return err
	}
	return pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO conversations (id, deadline) VALUES ($1, $2)`, c.id, due); err != nil {
			return err
		}
		_, err := c.river.InsertTx(ctx, tx, idleJob{Conversation: c.id}, &river.InsertOpts{ScheduledAt: due})
		return err
	})
}

// work is the job. It ends in the transaction that removes the row, so that a
// message finds both or none.
func (s *snoozingJobs) work(ctx context.Context, job *river.Job[idleJob]) error {
	id := job.Args.Conversation
	due, err := s.Due(ctx, id)
	if err != nil || due.IsZero() {
		return err
	}
	if early := time.Until(due); early > 0 {
		return river.JobSnooze(early)
	}
	if err := s.setup.Call(ctx, id); err != nil {
		return err
	}
	var done bool
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		removed, err := tx.Exec(ctx, `DELETE FROM conversations WHERE id = $1 AND deadline = $2`, id, due)
		if done = removed.RowsAffected() > 0; err != nil || !done {
			return err
		}
		_, err = river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
	if err != nil {
		return fmt.Errorf("finish %s: %w", id, err)
	}
	if !done { // a message came during the call
		return s.work(ctx, job)
	}
	return nil
}

func (s *snoozingJobs) Due(ctx context.Context, id string) (due time.Time, err error) {
	err = s.pool.QueryRow(ctx, `SELECT deadline FROM conversations WHERE id = $1`, id).Scan(&due)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return due, nil
}

func (s *snoozingJobs) Stored(ctx context.Context) (int64, error) {
	return s.setup.Stores.Postgres.Size(ctx, benchDatabase)
}

func (s *snoozingJobs) Close(ctx context.Context) error {
	err := s.river.Stop(ctx)
	s.pool.Close()
	return err
}
