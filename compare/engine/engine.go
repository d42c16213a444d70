// Package engine has the ways to keep the idle clocks of conversations. Each one
// has the same few methods, so that the same job can be run on all of them.
package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sessionkeeper/compare/stores"
)

// Engine is one way to keep idle clocks.
type Engine struct {
	// Key names the engine on the command line.
	Key string
	// Name is the engine's name in the table and the charts.
	Name string
	// Library is the Go module that does the work.
	Library string
	// Open prepares the stores and starts the engine.
	Open func(context.Context, Setup) (Instance, error)
}

// Setup is what an engine works with.
type Setup struct {
	Stores stores.Servers
	// Idle is the time without a message after which the idle call is due.
	Idle time.Duration
	// Call makes the idle call of a conversation. The engine calls it once for
	// each idle deadline that is reached, and again after an error.
	Call func(ctx context.Context, conversation string) error
	// Salesforce is the base URL of the server that Call sends its request to,
	// for an engine that sends the request itself.
	Salesforce string
}

// Instance is a running engine with its worker. It is safe for concurrent use,
// but the events of one conversation come one after the other.
type Instance interface {
	// StartConversation starts a conversation's idle clock at a time. For a
	// conversation that was started before, it does what a message does.
	StartConversation(ctx context.Context, id string, at time.Time) (Conversation, error)
	// IdleDeadline returns the idle deadline that the engine has stored for a
	// conversation, or zero when it has none.
	IdleDeadline(ctx context.Context, id string) (time.Time, error)
	// StoredBytes returns the size of the engine's data in its store.
	StoredBytes(ctx context.Context) (int64, error)
	// Close stops the engine.
	Close(ctx context.Context) error
}

// Conversation is one whose idle clock runs.
type Conversation interface {
	// Message starts the idle clock anew at a time. The engine has acknowledged
	// the message when Message returns without an error.
	Message(ctx context.Context, at time.Time) error
}

// Flusher is an instance whose sender keeps messages in memory.
type Flusher interface {
	// Flush returns when all of them are reported. The caller sends no message
	// during the call.
	Flush(ctx context.Context) error
}

// Chat is a conversation whose cost is counted: messages at equal intervals, an
// idle time of a third of its length, and a close at the end.
type Chat struct {
	Messages int           `json:"messages"`
	Length   time.Duration `json:"length"`
}

// Cost is what a chat costs on Temporal.
type Cost struct {
	Actions int `json:"actions"`
	Events  int `json:"events"`
}

// CostMeasurer is an instance on Temporal, which writes a history and bills
// actions.
type CostMeasurer interface {
	// MeasureCost plays a chat and counts the events and actions of its history.
	MeasureCost(ctx context.Context, chat Chat) (Cost, error)
}

// maxParallelCalls is how many idle calls an engine's worker makes at the same
// time.
const maxParallelCalls = 64

// All returns the engines in the order of the table.
func All() []Engine {
	return []Engine{
		sessionkeeper(), sessionkeeperPerMessage(), temporalReset(),
		asynqTask(), riverJob(), dbosDebouncer(),
		redisSortedSet(), windowedSortedSet(), postgresTable(),
	}
}

// Choose finds engines by their keys and returns them in the order of [All]. No
// keys means all engines.
func Choose(keys []string) ([]Engine, error) {
	all := All()
	if len(keys) == 0 {
		return all, nil
	}
	known := make([]string, len(all))
	for i, e := range all {
		known[i] = e.Key
	}
	for _, key := range keys {
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("no engine %q; there are %s", key, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(e Engine) bool { return !slices.Contains(keys, e.Key) }), nil
}
