package simulation

import (
	"time"

	"sessionkeeper/internal/gate"
)

// org is the gate of the org in the worker, and what keeps calls from going.
type org struct {
	*world
	gate *gate.Gate
	// busy are calls of other conversations.
	busy []*gate.Pass
}

// inFlight is how many calls of the org may be in flight.
const inFlight = 2

func newOrg(w *world) *org {
	o := &org{world: w}
	o.restart()
	for _, f := range w.story.Faults {
		switch f.Kind {
		case WorkerDown:
			w.at(w.began.Add(f.To), o.restart)
		case OrgPaused:
			w.at(w.began.Add(f.From), o.configure)
			w.at(w.began.Add(f.To), o.configure)
		case OrgBusy:
			w.at(w.began.Add(f.From), o.fill)
			w.at(w.began.Add(f.To), o.empty)
		}
	}
	return o
}

// restart begins a worker, which knows nothing of the org.
func (o *org) restart() {
	chance := o.chance(ofGate, int(o.since()/time.Millisecond))
	o.gate = gate.New(gate.Options{Settings: o.settings(), Chance: chance.Float64})
	o.busy = nil
}

func (o *org) configure() { o.gate.Change(o.settings()) }

func (o *org) settings() gate.Settings {
	s := gate.Settings{InFlight: inFlight}
	if o.has(OrgPaused) {
		s.Paused = "maintenance"
	}
	return s
}

func (o *org) fill() {
	for range inFlight {
		if pass, _ := o.gate.Enter(gate.Call{HangUp: true}); pass != nil {
			o.busy = append(o.busy, pass)
		}
	}
}

func (o *org) empty() {
	for _, pass := range o.busy {
		pass.Done(gate.Outcome{Kind: gate.Answered})
	}
	o.busy = nil
}

// ask asks the gate for a call. Calm stories have none.
func (o *org) ask(a *activity) (*gate.Pass, *gate.Wait) {
	if o.story.Calm {
		return nil, nil
	}
	return o.gate.Enter(gate.Call{HangUp: a.HangUp, Turn: a.progress.Turn})
}
