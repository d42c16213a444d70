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

// postgresTable keeps the idle deadlines in a table. A poller looks for those
// that are due every second.
func postgresTable() Engine {
	return Engine{
		Key: "postgres", Name: "PostgreSQL table, polled every second", Library: "github.com/jackc/pgx/v5",
		Open: func(ctx context.Context, setup Setup) (Instance, error) {
			pool, err := newDatabase(ctx, setup, `
				CREATE TABLE conversations (id text PRIMARY KEY, deadline timestamptz NOT NULL);
				CREATE INDEX ON conversations (deadline)`)
			if err != nil {
				return nil, err
			}
			t := &table{pool: pool, setup: setup}
			t.poller = startPoller(ctx, time.Second, t.callDue)
			return t, nil
		},
	}
}

// databaseName is the database of the engines that use PostgreSQL directly.
const databaseName = "compare"

// newDatabase makes an empty database with a schema and connects to it.
func newDatabase(ctx context.Context, setup Setup, schema string) (*pgxpool.Pool, error) {
	if err := setup.Stores.Postgres.NewDatabase(ctx, databaseName); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(setup.Stores.Postgres.URL(databaseName))
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	config.MaxConns = maxParallelCalls
	// The pool is used after this call.
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	if _, err := pool.Exec(ctx, schema); err != nil {
		pool.Close()
		return nil, fmt.Errorf("create the tables: %w", err)
	}
	return pool, nil
}

// storedDeadline reads a conversation's deadline from the table "conversations".
func storedDeadline(ctx context.Context, pool *pgxpool.Pool, id string) (deadline time.Time, err error) {
	err = pool.QueryRow(ctx, `SELECT deadline FROM conversations WHERE id = $1`, id).Scan(&deadline)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return deadline, nil
}

// maxRowsPerTransaction is how many rows one transaction of the poller takes.
const maxRowsPerTransaction = 64

type table struct {
	pool   *pgxpool.Pool
	setup  Setup
	poller *poller
}

type tableConversation struct {
	*table
	id string
}

func (t *table) StartConversation(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := tableConversation{t, id}
	return c, c.Message(ctx, at)
}

// Message is one statement.
func (c tableConversation) Message(ctx context.Context, at time.Time) error {
	_, err := c.pool.Exec(ctx, `INSERT INTO conversations (id, deadline) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET deadline = excluded.deadline`, c.id, at.Add(c.setup.Idle))
	return err
}

// callDue makes the calls of one batch of rows that are due. The transaction
// locks the rows until the calls are made, so that other pollers and messages
// wait. If the poller dies, the rows are still there.
func (t *table) callDue(ctx context.Context) (more bool, err error) {
	err = pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id FROM conversations WHERE deadline <= now()
			ORDER BY deadline LIMIT $1 FOR UPDATE SKIP LOCKED`, maxRowsPerTransaction)
		if err != nil {
			return err
		}
		due, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(due) == 0 {
			return err
		}
		called := t.call(ctx, due)
		more = len(called) == maxRowsPerTransaction
		_, err = tx.Exec(ctx, `DELETE FROM conversations WHERE id = ANY($1)`, called)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("make the calls that are due: %w", err)
	}
	return more, nil
}

// call makes the calls and returns the conversations whose call succeeded. The
// others stay due.
func (t *table) call(ctx context.Context, due []string) []string {
	var mu sync.Mutex
	var group sync.WaitGroup
	var called []string
	for _, id := range due {
		group.Go(func() {
			if t.setup.Call(ctx, id) != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			called = append(called, id)
		})
	}
	group.Wait()
	return called
}

func (t *table) IdleDeadline(ctx context.Context, id string) (time.Time, error) {
	return storedDeadline(ctx, t.pool, id)
}

func (t *table) StoredBytes(ctx context.Context) (int64, error) {
	return t.setup.Stores.Postgres.Size(ctx, databaseName)
}

func (t *table) Close(context.Context) error {
	err := t.poller.stop()
	t.pool.Close()
	return err
}
