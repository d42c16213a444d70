package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sessionkeeper/compare/engine"
	"sessionkeeper/compare/stores"
)

// measurement is the job on one engine.
type measurement struct {
	engine     engine.Engine
	servers    stores.Servers
	plan       Plan
	salesforce *salesforce
	result     Result
	tell       func(Result)
}

// Measure does the job on an engine, and tells the result after each part. A
// part that fails is a problem of the result and does not keep the next one from
// being tried. The error is that of ctx.
func Measure(ctx context.Context, e engine.Engine, servers stores.Servers, plan Plan, tell func(Result)) error {
	m := &measurement{engine: e, servers: servers, plan: plan, tell: tell, result: Result{Key: e.Key, Name: e.Name}}
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{PartSustained, m.throughput},
		{PartLateness, m.latenessPart},
	} {
		if err := part.do(ctx); err != nil {
			m.problem(part.name, err)
		}
		m.tell(m.result)
	}
	return ctx.Err()
}

func (m *measurement) problem(part string, err error) {
	m.result.Problems = append(m.result.Problems, Problem{part, err.Error()})
}

// open starts an engine with an idle time, and ends it with the returned close.
func (m *measurement) open(ctx context.Context, idle time.Duration) (engine.Session, func() error, error) {
	server, err := startSalesforce(ctx)
	if err != nil {
		return nil, nil, err
	}
	m.salesforce = server
	session, err := m.engine.Open(ctx, engine.Setup{
		Stores: m.servers, Idle: idle, Call: server.call, Salesforce: server.url,
	})
	if err != nil {
		server.stop()
		return nil, nil, fmt.Errorf("open: %w", err)
	}
	return session, func() error {
		defer server.stop()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := session.Close(ctx); err != nil {
			return fmt.Errorf("close: %w", err)
		}
		return nil
	}, nil
}

// throughput is the part of the job in which no conversation goes quiet.
func (m *measurement) throughput(ctx context.Context) (err error) {
	session, end, err := m.open(ctx, never)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	for _, count := range m.plan.Conversations {
		if err := m.over(ctx, session, count); err != nil {
			return fmt.Errorf("%d conversations: %w", count, err)
		}
		m.tell(m.result)
	}
	if err := m.cost(ctx, session); err != nil {
		m.problem(PartCost, err)
	}
	return nil
}

// over is one run over so many conversations. With the first one, the store is
// measured before and after they begin.
func (m *measurement) over(ctx context.Context, session engine.Session, count int) error {
	ctx, cancel := context.WithTimeout(ctx, m.plan.sustainedDeadline(count))
	defer cancel()
	first := m.result.Stored == nil
	var before int64
	var err error
	if first {
		if before, err = session.Stored(ctx); err != nil {
			return err
		}
	}
	tracks, err := m.begin(ctx, session, count)
	if err != nil {
		return err
	}
	if _, err := settle(ctx, m.servers); err != nil {
		return err
	}
	if first {
		after, err := session.Stored(ctx)
		if err != nil {
			return err
		}
		stored := float64(after-before) / float64(count)
		m.result.Stored = &stored
	}
	run, err := m.sustained(ctx, session, tracks)
	if err != nil {
		return err
	}
	m.result.Sustained = append(m.result.Sustained, run)
	return nil
}

// cost is the part for Temporal's engines.
func (m *measurement) cost(ctx context.Context, session engine.Session) error {
	coster, ok := session.(engine.Coster)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.plan.costDeadline())
	defer cancel()
	cost, err := coster.Cost(ctx, m.plan.Chat)
	if err != nil {
		return err
	}
	m.result.Cost = &cost
	return nil
}

// latenessPart is the part in which conversations go quiet.
func (m *measurement) latenessPart(ctx context.Context) (err error) {
	if !m.plan.Lateness.canWait(m.engine) {
		return fmt.Errorf("not measured: it looks every %v, a run of this length cannot wait for that", m.engine.Looks)
	}
	ctx, cancel := context.WithTimeout(ctx, m.plan.latenessDeadline())
	defer cancel()
	session, end, err := m.open(ctx, m.plan.Lateness.Idle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	lateness, err := m.lateness(ctx, session)
	if err != nil {
		return err
	}
	m.result.Lateness = &lateness
	return nil
}
