package simulator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// faults are those in force, in order of injection.
type faults struct {
	mu       sync.Mutex
	chance   *rand.Rand
	inForce  []*Fault
	injected int
}

func newFaults(seed uint64) *faults {
	return &faults{chance: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // repeatable chance, no secret
}

func (all *faults) inject(f Fault, now time.Time) (string, error) {
	if err := f.validate(); err != nil {
		return "", fmt.Errorf("%w: fault: %w", ErrInvalid, err)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.expire(now)
	all.injected++
	if f.ID == "" {
		f.ID = fmt.Sprintf("fault-%d", all.injected)
	}
	if slices.ContainsFunc(all.inForce, func(other *Fault) bool { return other.ID == f.ID }) {
		return "", fmt.Errorf("%w: fault: id: %q is in force already", ErrInvalid, f.ID)
	}
	if f.For > 0 {
		f.Until = now.Add(time.Duration(f.For))
	}
	if f.Answer != nil {
		answer := *f.Answer
		f.Answer = &answer
	}
	f.Acted = 0
	all.inForce = append(all.inForce, &f)
	return f.ID, nil
}

// remove takes the fault away and tells whether it was in force.
func (all *faults) remove(id string) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	before := len(all.inForce)
	all.inForce = slices.DeleteFunc(all.inForce, func(f *Fault) bool { return f.ID == id })
	return len(all.inForce) < before
}

func (all *faults) removeAll() {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.inForce = nil
}

func (all *faults) list(now time.Time) []Fault {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.expire(now)
	copies := make([]Fault, 0, len(all.inForce))
	for _, f := range all.inForce {
		copies = append(copies, *f)
	}
	return copies
}

// pick takes the fault that acts on c, and counts it.
func (all *faults) pick(c *call, now time.Time) (Fault, bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.expire(now)
	for _, f := range all.inForce {
		if f.matches(c) && (f.Share == 0 || all.chance.Float64() < f.Share) {
			f.Acted++
			return *f, true
		}
	}
	return Fault{}, false
}

// expire drops the faults that have done their number or outlived their time.
func (all *faults) expire(now time.Time) {
	all.inForce = slices.DeleteFunc(all.inForce, func(f *Fault) bool {
		return f.Times > 0 && f.Acted >= f.Times || !f.Until.IsZero() && !now.Before(f.Until)
	})
}
