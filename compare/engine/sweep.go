package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// sweep keeps the deadlines in a table, which a sweep looks through now and
// then.
func sweep(every time.Duration) Engine {
	e := Engine{
		Key: fmt.Sprintf("sweep-%.0fs", every.Seconds()), Name: fmt.Sprintf("PostgreSQL table, swept every %.0f s", every.Seconds()),
		Library: "github.com/jackc/pgx/v5",
		Open: func(ctx context.Context, setup Setup) (Session, error) {
			pool, err := database(ctx, setup, `
				CREATE TABLE conversations (id text PRIMARY KEY, deadline timestamptz NOT NULL);
				CREATE INDEX ON conversations (deadline)`)
			if err != nil {
				return nil, err
			}
			s := &table{pool: pool, setup: setup}
			s.poller = poll(ctx, every, s.sweep)
			return s, nil
		},
	}
	if every >= 10*time.Second {
		e.Looks = every
	}
	return e
}

// benchDatabase is the database of the engines that bring their own tables.
const benchDatabase = "bench"

// database is an empty one with a schema.
func database(ctx context.Context, setup Setup, schema string) (*pgxpool.Pool, error) {
	if err := setup.Stores.Postgres.NewDatabase(ctx, benchDatabase); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(setup.Stores.Postgres.URL(benchDatabase))
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	config.MaxConns = callers
	// The pool outlives the call.
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	if _, err := pool.Exec(ctx, schema); err != nil {
		pool.Close()
		return nil, fmt.Errorf("set up the tables: %w", err)
	}
	return pool, nil
}

// swept is the most that one transaction of a sweep takes.
const swept = 64

type table struct {
	pool   *pgxpool.Pool
	setup  Setup
	poller *poller
}

type row struct {
	*table
	id string
}

func (t *table) Begin(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := row{t, id}
	return c, c.Message(ctx, at)
}

// Message is one statement.
func (c row) Message(ctx context.Context, at time.Time) error {
	_, err := c.pool.Exec(ctx, `INSERT INTO conversations (id, deadline) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET deadline = excluded.deadline`, c.id, at.Add(c.setup.Idle))
	return err
}

// sweep calls for one batch of what is due, in a transaction that keeps other
// sweepers and messages away from it until it is done: nothing is lost when the
// sweeper dies.
func (t *table) sweep(ctx context.Context) (more bool, err error) {
	err = pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id FROM conversations WHERE deadline <= now()
			ORDER BY deadline LIMIT $1 FOR UPDATE SKIP LOCKED`, swept)
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		due, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(due) == 0 {
			return err //nolint:wrapcheck // wrapped below
		}
		done := t.called(ctx, due)
		more = len(done) == swept
		_, err = tx.Exec(ctx, `DELETE FROM conversations WHERE id = ANY($1)`, done)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return false, fmt.Errorf("sweep: %w", err)
	}
	return more, nil
}

// called makes the calls and returns for whom they succeeded; the others are
// left to the next sweep.
func (t *table) called(ctx context.Context, due []string) []string {
	var mu sync.Mutex
	var group sync.WaitGroup
	var done []string
	for _, id := range due {
		group.Go(func() {
			if t.setup.Call(ctx, id) != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			done = append(done, id)
		})
	}
	group.Wait()
	return done
}

func (t *table) Due(ctx context.Context, id string) (due time.Time, err error) {
	err = t.pool.QueryRow(ctx, `SELECT deadline FROM conversations WHERE id = $1`, id).Scan(&due)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return due, nil
}

func (t *table) Stored(ctx context.Context) (int64, error) {
	return t.setup.Stores.Postgres.Size(ctx, benchDatabase)
}

func (t *table) Close(context.Context) error {
	err := t.poller.stop()
	t.pool.Close()
	return err
}
