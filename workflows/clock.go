package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"sessionkeeper/conversation"
)

// clock is the one timer of a conversation. It is left alone while the deadline
// moves away from it: when it rings early, it is wound for the remainder. So a
// message costs no timer. That it rang, failed or was cancelled decides
// nothing; only the time and the state do.
//
// While promises are kept no start or message lowers it: see [State.lookAt]. Only
// a change of policy or phase does, or a sender that comes back late.
type clock struct {
	at     time.Time
	future workflow.Future
	cancel workflow.CancelFunc
}

func (c *clock) rang() bool { return c != nil && c.future.IsReady() }

// wind makes sure that a timer rings no later than the next deadline.
func (k *keeper) wind(ctx workflow.Context, now time.Time) {
	if k.clock.rang() {
		k.clock.cancel()
		k.clock = nil
	}
	deadline := k.state.deadline(now)
	if deadline.IsZero() || k.flight != nil && !deadline.After(now) {
		return
	}
	if k.clock != nil {
		if !k.clock.at.After(deadline) {
			return
		}
		k.clock.cancel()
	}
	timer, cancel := workflow.WithCancel(ctx)
	k.clock = &clock{
		at: deadline,
		// A timer of no time at all would be no timer.
		future: workflow.NewTimerWithOptions(timer, max(deadline.Sub(now), time.Millisecond),
			workflow.TimerOptions{Summary: k.purpose(deadline)}),
		cancel: cancel,
	}
}

// purpose says in the history what a timer is for.
func (k *keeper) purpose(deadline time.Time) string {
	switch phase := k.state.Phase(); {
	case phase == conversation.Blocked:
		return "give up at " + rfc3339(deadline) + " unless an operator helps"
	case !k.state.openUntil().IsZero():
		return "Active again at " + rfc3339(deadline) + " unless a sender says that nobody wrote"
	case phase == conversation.Inactive:
		return "End at " + rfc3339(deadline) + " unless a message comes"
	default:
		return fmt.Sprintf("Inactivate after %s of quiet, next look at %s", k.state.Policy.InactivateAfter, rfc3339(deadline))
	}
}
