// Package engine has the ways to keep the idle clocks of conversations, each
// behind the same few methods, so that one job can be run on all of them.
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
	// Name is for people.
	Name string
	// Looks is how often an engine that only looks now and then does so, when
	// that is longer than a short run can wait. Zero for the others.
	Looks time.Duration
	// Grain is how exactly the engine keeps time, when that is coarse.
	Grain time.Duration
	// Library is the Go module that does the work.
	Library string
	// Open sets the engine up on empty stores.
	Open func(context.Context, Setup) (Session, error)
}

// Setup is what an engine works with.
type Setup struct {
	Stores stores.Servers
	// Idle is how long a conversation may be quiet.
	Idle time.Duration
	// Call is to be made once for each conversation that was quiet for so long.
	// An error means that it has to be made again.
	Call func(ctx context.Context, conversation string) error
	// Salesforce is the base URL of the server that Call calls, for an engine
	// that makes the call itself.
	Salesforce string
}

// Session is an engine at work: its worker's side runs, and conversations can be
// begun. It is safe for concurrent use; of one conversation, one event comes
// after the other.
type Session interface {
	// Begin starts a conversation's clock at a time. One that has begun takes it
	// for a message.
	Begin(ctx context.Context, id string, at time.Time) (Conversation, error)
	// Due is when the conversation's call is due by what the engine has stored.
	// Zero is not at all.
	Due(ctx context.Context, id string) (time.Time, error)
	// Stored is how many bytes the engine's data takes in its store.
	Stored(ctx context.Context) (int64, error)
	// Close stops the engine.
	Close(ctx context.Context) error
}

// Conversation is one whose clock runs.
type Conversation interface {
	// Message starts the clock anew at a time, as somebody wrote. Once it
	// returns without an error the engine has acknowledged the message.
	Message(ctx context.Context, at time.Time) error
}

// Flusher is a session that keeps something in the sender's memory.
type Flusher interface {
	// Flush returns once all of it is told. No message is sent meanwhile.
	Flush(ctx context.Context) error
}

// Chat is a conversation of a known shape: messages at even distances, an idle
// time of a third of the whole, and a hang-up at the end.
type Chat struct {
	Messages int           `json:"messages"`
	Over     time.Duration `json:"over"`
}

// Cost is what a chat costs on Temporal.
type Cost struct {
	Actions int `json:"actions"`
	Events  int `json:"events"`
}

// Coster is a session on Temporal, which writes a history and bills actions.
type Coster interface {
	// Cost plays a chat and reads its history.
	Cost(ctx context.Context, chat Chat) (Cost, error)
}

// callers is how many calls an engine's worker makes at once.
const callers = 64

// All are the engines, in the order of the table.
func All() []Engine {
	return []Engine{
		windowed(), eachMessage(), resetPerMessage(),
		asynqDefault(), asynqTuned(), riverSnooze(), dbosDebouncer(),
		redisSortedSet(), sweep(time.Minute), sweep(time.Second),
	}
}

// Choose finds engines by their keys, in the order of [All]. None means all.
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
