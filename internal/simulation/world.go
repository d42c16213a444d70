package simulation

import (
	"cmp"
	"container/heap"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// world runs everything that is not a sender: one thing at a time, in the order of
// time. Senders are goroutines, which enter only by a request. So the same story always
// runs the same way.
type world struct {
	story   Story
	began   time.Time
	agenda  agenda
	ordered int
	history *History

	temporal   *server
	salesforce *salesforce
	org        *org
	partner    *partner

	mu      sync.Mutex
	inbox   []*request
	arrived chan struct{}
}

// request is a request of a process to Temporal.
type request struct {
	process int
	what    string
	// pause is how long a request waits that is none: its process only sleeps.
	pause time.Duration
	// serve runs when it reaches the server. It calls reply once, now or later.
	serve func(reply func(any, error))
	done  chan struct{}
	value any
	err   error
}

// task is an entry of the agenda.
type task struct {
	at    time.Time
	order int
	do    func()
}

type agenda []task

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return cmp.Or(a[i].at.Compare(a[j].at), cmp.Compare(a[i].order, a[j].order)) < 0
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *agenda) Push(t any) { *a = append(*a, t.(task)) } //nolint:errcheck // nothing else is pushed

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// Run plays a story in virtual time. It must be called in a bubble of testing/synctest.
// begin returns the rules of the workflow for a new run.
func Run(story Story, begin func(Beginning) Machine) *History {
	began := time.Now()
	w := &world{
		story: story, began: began, arrived: make(chan struct{}, 1), history: &History{Story: story, Began: began},
	}
	w.temporal = &server{world: w, begin: begin}
	w.salesforce = &salesforce{world: w}
	w.org = newOrg(w)
	w.partner = newPartner(w)
	w.partner.plan()
	w.at(w.end(), w.rest)
	w.loop()
	w.partner.stop()
	w.history.finish(w)
	return w.history
}

// loop does what is on the agenda until it is empty.
func (w *world) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		synctest.Wait()
		w.takeRequests()
		if len(w.agenda) == 0 {
			return
		}
		if next := w.agenda[0]; !next.at.After(time.Now()) {
			heap.Pop(&w.agenda)
			next.do()
			continue
		}
		timer.Reset(time.Until(w.agenda[0].at))
		select {
		case <-timer.C:
		case <-w.arrived:
		}
	}
}

// end is when everything of the story has happened.
func (w *world) end() time.Time {
	end := time.Duration(0)
	for _, s := range w.story.Steps {
		end = max(end, s.At+s.Delay+s.Again)
	}
	for _, f := range w.story.Faults {
		end = max(end, f.To)
	}
	return w.began.Add(end + time.Minute)
}

// longestRest is how long a conversation may take to come to rest after the last event.
// A year is the longest duration of a policy; the stories use less.
const longestRest = 30 * 24 * time.Hour

// rest waits until the conversation does nothing more without a new event.
func (w *world) rest() {
	if w.since() > w.end().Sub(w.began)+longestRest || w.partner.isDone() && w.temporal.isAtRest() {
		w.agenda = nil
		return
	}
	w.after(time.Hour, w.rest)
}

func (w *world) since() time.Duration { return time.Since(w.began) }

func (w *world) at(at time.Time, do func()) {
	w.ordered++
	heap.Push(&w.agenda, task{at: at, order: w.ordered, do: do})
}

func (w *world) after(d time.Duration, do func()) { w.at(time.Now().Add(d), do) }

// chance returns a source of random numbers for one thing. What else happens does not
// change it, so that a story stays the same when a step is taken out.
func (w *world) chance(what, number int) *rand.Rand {
	return rand.New(rand.NewPCG(w.story.Seed, uint64(what)<<32|uint64(number))) //nolint:gosec // not a secret
}

// Things that have a chance of their own.
const (
	ofRequest = iota + 1
	ofTask
	ofCall
	ofStatus
	ofSession
	ofRestart
	ofGate
)

func upTo(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most/time.Millisecond)+1)) * time.Millisecond
}

func (w *world) has(kind FaultKind) bool {
	return slices.ContainsFunc(w.story.Faults, func(f Fault) bool { return f.Kind == kind && f.at(w.since()) })
}

// send passes a request to Temporal and waits for its answer. Senders call it.
func (w *world) send(ctx context.Context, r *request) (any, error) {
	r.done = make(chan struct{})
	w.mu.Lock()
	w.inbox = append(w.inbox, r)
	w.mu.Unlock()
	select {
	case w.arrived <- struct{}{}:
	default:
	}
	select {
	case <-r.done:
		return r.value, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// takeRequests puts the requests that have arrived on the agenda. At one moment their
// order is by chance, so it is replaced by an order of our own.
func (w *world) takeRequests() {
	w.mu.Lock()
	arrived := w.inbox
	w.inbox = nil
	w.mu.Unlock()
	slices.SortFunc(arrived, func(a, b *request) int {
		return cmp.Or(cmp.Compare(a.process, b.process), cmp.Compare(a.what, b.what))
	})
	for _, r := range arrived {
		if r.pause > 0 {
			w.after(r.pause, func() { close(r.done) })
			continue
		}
		w.carry(r)
	}
}

// carry is the way of a request to Temporal, and of the answer back.
func (w *world) carry(r *request) {
	w.partner.requests[r.process]++
	chance := w.chance(ofRequest, r.process<<20|w.partner.requests[r.process])
	most := 20 * time.Millisecond
	if w.has(Slow) {
		most = 15 * time.Second
		w.history.count("fault", string(Slow))
	}
	answer := func(value any, err error) {
		w.after(upTo(chance, most), func() {
			if w.has(AnswersLost) {
				w.history.count("fault", string(AnswersLost))
				value, err = nil, errUnavailable
			}
			r.value, r.err = value, err
			close(r.done)
		})
	}
	w.after(upTo(chance, most), func() {
		if w.has(TemporalDown) {
			w.history.count("fault", string(TemporalDown))
			answer(nil, []error{errUnavailable, errStarting}[w.partner.requests[r.process]%2])
			return
		}
		r.serve(answer)
	})
}
