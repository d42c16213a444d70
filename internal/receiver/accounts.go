package receiver

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"sessionkeeper/internal/access"
	"sessionkeeper/sender"
)

// account is the part of the server that one token uses. It has a sender of its own,
// so that no token fills the memory of another one.
type account struct {
	usage
	sender *sender.Sender
	// own is the quota of the token, without the server's defaults.
	own access.Quota
}

// accounts are the accounts of the tokens that were used.
type accounts struct {
	// open returns a new account.
	open func(access.Quota) *account

	mu     sync.Mutex
	byName map[string]*account
	// leaving are the accounts whose tokens were removed. They report the messages
	// that they absorbed.
	leaving map[*account]bool
	// past are the counters of the accounts that are gone: a counter never goes back.
	past sender.Stats
}

func newAccounts(open func(access.Quota) *account) *accounts {
	return &accounts{open: open, byName: map[string]*account{}, leaving: map[*account]bool{}}
}

// of returns the account of a token.
func (a *accounts) of(token *access.Token) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.byName[token.Name]
	if found == nil {
		found = a.open(token.Quota)
		a.byName[token.Name] = found
	}
	return found
}

// retain closes the accounts of tokens that are gone or have another quota now.
func (a *accounts) retain(ctx context.Context, tokens map[string]*access.Token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, account := range a.byName {
		if token := tokens[name]; token != nil && token.Quota == account.own {
			continue
		}
		delete(a.byName, name)
		a.leaving[account] = true
		go a.leave(ctx, account)
	}
}

func (a *accounts) leave(ctx context.Context, account *account) {
	if account.sender.Close(ctx) != nil {
		return // the server stops, and closes it once more
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.leaving, account)
	stats := account.sender.Stats()
	stats.Conversations, stats.Unreported = 0, 0
	a.past = sum(a.past, stats)
}

// all returns the accounts that are not gone, and the counters of those that are.
func (a *accounts) all() ([]*account, sender.Stats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.AppendSeq(slices.Collect(maps.Values(a.byName)), maps.Keys(a.leaving)), a.past
}

// close reports the absorbed messages of all accounts. The error is nil or a
// [*sender.UndrainedError] with the sums of all senders.
func (a *accounts) close(ctx context.Context) error {
	all, _ := a.all()
	causes := make([]error, len(all))
	var group sync.WaitGroup
	for i, account := range all {
		group.Go(func() { causes[i] = account.sender.Close(ctx) })
	}
	group.Wait()
	undrained, ok := errors.AsType[*sender.UndrainedError](errors.Join(causes...))
	if !ok {
		return nil
	}
	stats := a.stats()
	return &sender.UndrainedError{
		Conversations: stats.Conversations, Unreported: stats.Unreported, Cause: undrained.Cause,
	}
}

// stats returns the sums of all accounts.
func (a *accounts) stats() sender.Stats {
	all, total := a.all()
	for _, account := range all {
		total = sum(total, account.sender.Stats())
	}
	return total
}

func sum(a, b sender.Stats) sender.Stats {
	return sender.Stats{
		Conversations: a.Conversations + b.Conversations, Unreported: a.Unreported + b.Unreported,
		Absorbed: a.Absorbed + b.Absorbed, Reports: a.Reports + b.Reports, Failures: a.Failures + b.Failures,
		AliveAfterEnd: a.AliveAfterEnd + b.AliveAfterEnd,
	}
}
