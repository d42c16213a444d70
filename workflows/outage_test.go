package workflows

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
	"sessionkeeper/internal/simulation"
)

// Salesforce is away for 26 hours, in each way in which it can be. No conversation needs an
// operator, and each is ended soon afterwards.
func TestOutageOfMoreThanADay(t *testing.T) {
	const began, outage = 5 * time.Minute, 26 * time.Hour
	closed := []simulation.Step{{At: 20 * time.Minute, Kind: simulation.HangUp, Named: true, By: conversation.EndUser}}
	for _, name := range []string{
		"connection lost", "connection lost after it was executed", "timeout", "timeout after it was executed",
		"HTTP 503", "HTTP 500", "HTTP 429", "HTTP 429 with Retry-After", "HTTP 420", "code 10019", "code 10094",
		"token temporarily_unavailable", "INTERNAL_ERROR",
	} {
		answer := slices.IndexFunc(simulation.Answers, func(a simulation.Answer) bool { return a.Name == name })
		require.GreaterOrEqual(t, answer, 0, name)
		for does, steps := range map[string][]simulation.Step{"closed": closed, "idle": nil} {
			t.Run(name+"/"+does, func(t *testing.T) {
				for seed := range uint64(3) {
					story := simulation.Story{
						Seed:     seed,
						Policies: []conversation.Policy{policyOf(10*time.Minute, 10*time.Minute)},
						Senders:  []simulation.SenderPlan{{Repeats: true}},
						Statuses: simulation.NoStatuses,
						Steps: append([]simulation.Step{
							{Kind: simulation.Begin, Named: true}, {At: time.Minute, Kind: simulation.Write, Named: true},
						}, steps...),
						Faults: []simulation.Fault{{Kind: simulation.SalesforceFails, From: began, To: began + outage, Answer: answer}},
					}
					h, violations := simulate(t, story)
					require.Empty(t, violations, "seed %d\n%s", seed, h)
					requireEndedSoon(t, h, began+outage, does == "idle")
				}
			})
		}
	}
}

// requireEndedSoon: no phase was Blocked, and the session is over soon after the outage: an
// idle one is made Inactive first.
func requireEndedSoon(t *testing.T, h *simulation.History, outage time.Duration, idle bool) {
	t.Helper()
	for _, p := range h.Phases {
		require.NotEqual(t, conversation.Blocked, p.Status.Phase, "%s", h)
	}
	limit := outage + gate.LongestWait + 2*time.Minute
	if idle {
		limit += 10*time.Minute + gate.LongestWait
	}
	require.Len(t, h.Sessions, 1)
	require.False(t, h.Sessions[0].EndedAt.IsZero(), "%s", h)
	require.LessOrEqual(t, h.Sessions[0].EndedAt.Sub(h.Began), limit, fmt.Sprint(h))
	require.Empty(t, h.Final.Failing)
}

func policyOf(inactivateAfter, endAfter time.Duration) conversation.Policy {
	return conversation.Policy{
		InactivateAfter: new(conversation.Duration(inactivateAfter)), EndAfter: new(conversation.Duration(endAfter)),
	}
}
