package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"sessionkeeper/conversation"
)

// idleTimer is the only timer of a conversation. It is not cancelled while the
// deadline moves to a later time: when it fires too early, it is set for the rest
// of the time. So a message costs no timer. The loop never decides anything
// because the timer fired, failed or was cancelled; only the time and the state
// decide.
//
// While leases are renewed or released in time, no start or message lowers the
// deadline, see [State.nextIdleCheck]. A change of the policy or the phase does,
// and so does a sender that reports again after its lease has expired.
type idleTimer struct {
	// firesAt is zero if no timer is set.
	firesAt time.Time
	future  workflow.Future
	cancel  workflow.CancelFunc
}

func (t *idleTimer) fired() bool { return t.future != nil && t.future.IsReady() }

// stop cancels the timer, if one is set.
func (t *idleTimer) stop() {
	if t.cancel != nil {
		t.cancel()
	}
	*t = idleTimer{}
}

// resetTimer makes sure that a timer fires no later than the deadline.
func (r *runner) resetTimer(ctx workflow.Context, next decision, now time.Time) {
	if r.idleTimer.fired() {
		r.idleTimer.stop()
	}
	overdue := !next.deadline.After(now)
	if !next.needsTimer(r.idleTimer.firesAt) || r.pendingCall != nil && overdue {
		return
	}
	r.idleTimer.stop()
	// A disconnected context is not registered with its parent, which saves about
	// 280 bytes per open conversation. So stop has to cancel the timer.
	timerCtx, cancel := workflow.NewDisconnectedContext(ctx)
	r.idleTimer = idleTimer{
		firesAt: next.deadline,
		// NewTimer with d <= 0 fires at once, without an event in the history.
		future: workflow.NewTimerWithOptions(timerCtx, max(next.deadline.Sub(now), time.Millisecond),
			workflow.TimerOptions{Summary: r.timerSummary(next.deadline)}),
		cancel: cancel,
	}
}

// timerSummary says in the history what the timer is for.
func (r *runner) timerSummary(deadline time.Time) string {
	switch phase := r.state.Phase(); {
	case phase == conversation.Blocked:
		return "fail at " + rfc3339(deadline) + " unless an operator helps"
	case !r.state.leaseGraceUntil().IsZero():
		return "Active again at " + rfc3339(deadline) + " unless the sender releases its lease"
	case phase == conversation.Inactive:
		return "End at " + rfc3339(deadline) + " unless a message arrives"
	default:
		return fmt.Sprintf("Inactivate after %s without activity, next check at %s",
			r.state.Policy.InactivateAfter, rfc3339(deadline))
	}
}
