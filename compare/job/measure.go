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
	report     func(Result)
}

// Measure does the job on an engine, and reports the result after each part. A
// part that fails is a problem in the result, and the next part is tried. The
// error is that of ctx.
func Measure(
	ctx context.Context, e engine.Engine, servers stores.Servers, plan Plan, report func(Result),
) error {
	m := &measurement{
		engine: e, servers: servers, plan: plan, report: report, result: Result{Key: e.Key, Name: e.Name},
	}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{PartThroughput, m.throughputPart},
		{PartLateness, m.latenessPart},
	} {
		if err := part.run(ctx); err != nil {
			m.addProblem(part.name, err)
		}
		m.report(m.result)
	}
	return ctx.Err()
}

func (m *measurement) addProblem(part string, err error) {
	m.result.Problems = append(m.result.Problems, Problem{part, err.Error()})
}

// open starts the engine and the server for its calls. The returned function
// stops both.
func (m *measurement) open(ctx context.Context, idle time.Duration) (engine.Instance, func() error, error) {
	server, err := startSalesforce(ctx)
	if err != nil {
		return nil, nil, err
	}
	m.salesforce = server
	instance, err := m.engine.Open(ctx, engine.Setup{
		Stores: m.servers, Idle: idle, Call: server.call, Salesforce: server.url,
	})
	if err != nil {
		server.stop()
		return nil, nil, fmt.Errorf("open: %w", err)
	}
	return instance, func() error {
		defer server.stop()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := instance.Close(ctx); err != nil {
			return fmt.Errorf("close: %w", err)
		}
		return nil
	}, nil
}

// throughputPart is the part in which no conversation becomes idle.
func (m *measurement) throughputPart(ctx context.Context) (err error) {
	instance, stop, err := m.open(ctx, longIdle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, count := range m.plan.Conversations {
		if err := m.throughputRun(ctx, instance, count); err != nil {
			return fmt.Errorf("%d conversations: %w", count, err)
		}
		m.report(m.result)
	}
	if err := m.costPart(ctx, instance); err != nil {
		m.addProblem(PartCost, err)
	}
	return nil
}

// throughputRun is the run with one number of conversations. In the first run,
// the store is measured before and after they start.
func (m *measurement) throughputRun(ctx context.Context, instance engine.Instance, count int) error {
	ctx, cancel := context.WithTimeout(ctx, m.plan.throughputTimeout(count))
	defer cancel()
	first := m.result.Stored == nil
	var before int64
	var err error
	if first {
		if before, err = instance.StoredBytes(ctx); err != nil {
			return err
		}
	}
	conversations, err := m.startConversations(ctx, instance, count)
	if err != nil {
		return err
	}
	if _, err := waitForNoLoad(ctx, m.servers); err != nil {
		return err
	}
	if first {
		after, err := instance.StoredBytes(ctx)
		if err != nil {
			return err
		}
		m.result.Stored = new(float64(after-before) / float64(count))
	}
	run, err := m.measureThroughput(ctx, instance, conversations)
	if err != nil {
		return err
	}
	m.result.Throughput = append(m.result.Throughput, run)
	return nil
}

// costPart counts what a chat costs, for engines on Temporal.
func (m *measurement) costPart(ctx context.Context, instance engine.Instance) error {
	measurer, ok := instance.(engine.CostMeasurer)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.plan.costTimeout())
	defer cancel()
	cost, err := measurer.MeasureCost(ctx, m.plan.Chat)
	if err != nil {
		return err
	}
	m.result.Cost = &cost
	return nil
}

// latenessPart is the part in which conversations become idle.
func (m *measurement) latenessPart(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, m.plan.latenessTimeout())
	defer cancel()
	instance, stop, err := m.open(ctx, m.plan.Lateness.Idle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	lateness, err := m.measureLateness(ctx, instance)
	if err != nil {
		return err
	}
	m.result.Lateness = &lateness
	return nil
}
