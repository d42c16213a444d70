package gate

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// play runs a test in virtual time with a gate that records its states.
func play(t *testing.T, settings Settings, test func(t *testing.T, g *Gate, states func() []State)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var states []State
		g := New(Options{Settings: settings, Changed: func(s Status) { states = append(states, s.State) }})
		test(t, g, func() []State { seen := states; states = nil; return seen })
	})
}

func enter(t *testing.T, g *Gate, c Call) *Pass {
	t.Helper()
	pass, wait := g.Enter(c)
	require.Nil(t, wait)
	return pass
}

func refuse(t *testing.T, g *Gate, c Call) *Wait {
	t.Helper()
	pass, wait := g.Enter(c)
	require.Nil(t, pass)
	require.Positive(t, wait.Delay)
	require.LessOrEqual(t, wait.Delay, LongestWait)
	return wait
}

func TestPausedOrgLetsNoCallGo(t *testing.T) {
	play(t, Settings{Paused: "maintenance"}, func(t *testing.T, g *Gate, states func() []State) {
		require.Equal(t, []State{Paused}, states())
		wait := refuse(t, g, Call{HangUp: true})
		require.Equal(t, Paused, wait.State)
		require.Equal(t, "maintenance", wait.Reason)
		require.LessOrEqual(t, wait.Delay, 10*time.Second, "a short pause is noticed soon")
		time.Sleep(72 * time.Hour)
		require.GreaterOrEqual(t, refuse(t, g, Call{}).Delay, LongestWait/2, "a long pause costs little")
		g.Change(Settings{})
		enter(t, g, Call{}).Done(Outcome{Kind: Answered})
		require.Equal(t, []State{Ready}, states())
	})
}

// Thousands of calls that wait for an org do not ask all at once, and hang-ups are the first
// to come back.
func TestManyCallsWaitForAnOrg(t *testing.T) {
	play(t, Settings{Paused: "maintenance"}, func(t *testing.T, g *Gate, _ func() []State) {
		perSecond := map[int]int{}
		for range 3000 {
			perSecond[int(refuse(t, g, Call{}).Delay/time.Second)]++
		}
		for second, n := range perSecond {
			if second > 10 { // the first ones are spread over a few seconds
				require.LessOrEqual(t, n, 4*asksPerSecond)
			}
		}
		require.LessOrEqual(t, refuse(t, g, Call{HangUp: true}).Delay, shortestOutageWait)
	})
}

func TestPauseLetsCallsInFlightEnd(t *testing.T) {
	play(t, Settings{}, func(t *testing.T, g *Gate, _ func() []State) {
		pass := enter(t, g, Call{})
		g.Change(Settings{Paused: "maintenance"})
		require.Equal(t, 1, g.Status().InFlight)
		pass.Done(Outcome{Kind: Answered})
		require.Zero(t, g.Status().InFlight)
	})
}

func TestUnreachableOrgGetsOneCallAtATime(t *testing.T) {
	play(t, Settings{}, func(t *testing.T, g *Gate, states func() []State) {
		fail := func() { enter(t, g, Call{}).Done(Outcome{Kind: NoAnswer}) }
		for range failuresUntilOpen - 1 {
			fail()
			time.Sleep(time.Second)
		}
		enter(t, g, Call{}).Done(Outcome{Kind: Answered}) // an answer in between begins the count again
		for range failuresUntilOpen {
			require.Empty(t, states())
			fail()
			time.Sleep(time.Second)
		}
		require.Equal(t, []State{Unreachable}, states())
		require.Equal(t, Unreachable, refuse(t, g, Call{HangUp: true}).State)
		time.Sleep(probeInterval)
		probe := enter(t, g, Call{})
		refuse(t, g, Call{HangUp: true})
		probe.Done(Outcome{Kind: NoAnswer})
		refuse(t, g, Call{})
		time.Sleep(probeInterval)
		enter(t, g, Call{}).Done(Outcome{Kind: NotSent}) // says nothing
		refuse(t, g, Call{})
		time.Sleep(probeInterval)
		require.Empty(t, states())
		enter(t, g, Call{}).Done(Outcome{Kind: Limited}) // it has answered
		require.Equal(t, []State{RateLimited}, states())
	})
}

func TestCallsInFlightAreLimited(t *testing.T) {
	play(t, Settings{InFlight: 2}, func(t *testing.T, g *Gate, states func() []State) {
		first, second := enter(t, g, Call{}), enter(t, g, Call{})
		require.Equal(t, Busy, refuse(t, g, Call{HangUp: true}).State)
		first.Done(Outcome{Kind: Answered})
		time.Sleep(time.Second)
		third := enter(t, g, Call{})
		refuse(t, g, Call{})
		g.Change(Settings{InFlight: 3})
		fourth := enter(t, g, Call{Turn: time.Now()})
		for _, pass := range []*Pass{second, third, fourth} {
			pass.Done(Outcome{Kind: Answered})
		}
		require.Empty(t, states(), "a busy org is no change to log")
	})
}

// While calls hang, those that wait ask less and less often.
func TestWaitForCallsThatHang(t *testing.T) {
	play(t, Settings{InFlight: 1}, func(t *testing.T, g *Gate, _ func() []State) {
		enter(t, g, Call{})
		began, asked := time.Now(), 0
		var turn time.Time
		for time.Since(began) < time.Hour {
			wait := refuse(t, g, Call{Turn: turn})
			turn = wait.Turn
			asked++
			time.Sleep(wait.Delay)
		}
		require.Less(t, asked, 100)
	})
}

// Salesforce's Retry-After holds all calls of the org, and they do not come back at the
// same time.
func TestRetryAfterHoldsTheOrg(t *testing.T) {
	play(t, Settings{}, func(t *testing.T, g *Gate, states func() []State) {
		wait := enter(t, g, Call{}).Done(Outcome{Kind: Limited, RetryAfter: time.Minute})
		require.Equal(t, RateLimited, wait.State)
		require.Equal(t, []State{RateLimited}, states())
		before := time.Duration(0)
		for range 5 {
			require.Greater(t, wait.Delay, max(before, time.Minute))
			before = wait.Delay
			wait = refuse(t, g, Call{})
		}
		time.Sleep(time.Minute - time.Second)
		refuse(t, g, Call{HangUp: true})
		time.Sleep(2 * time.Second)
		enter(t, g, Call{Turn: wait.Turn.Add(-time.Minute), HangUp: true}).Done(Outcome{Kind: Answered})
		time.Sleep(2 * limitedFor)
		require.Equal(t, Ready, g.Status().State)
		require.Equal(t, []State{Ready}, states())
	})
}

// After Retry-After, the calls that wait do not ask at the same moment.
func TestCallsAreSpreadAfterRetryAfter(t *testing.T) {
	play(t, Settings{}, func(t *testing.T, g *Gate, _ func() []State) {
		enter(t, g, Call{}).Done(Outcome{Kind: Limited, RetryAfter: time.Minute})
		inSecond := map[time.Duration]int{}
		for range 500 {
			wait := refuse(t, g, Call{})
			require.Greater(t, wait.Delay, time.Minute)
			inSecond[wait.Delay.Truncate(time.Second)]++
		}
		for _, n := range inSecond {
			require.LessOrEqual(t, n, 8*firstPace)
		}
	})
}

// An org with a very low limit is asked for as rarely.
func TestVerySlowPace(t *testing.T) {
	play(t, Settings{PerSecond: 0.2}, func(t *testing.T, g *Gate, _ func() []State) {
		asked, sent := 0, 0
		var calls sync.WaitGroup
		var mu sync.Mutex
		for range 50 {
			calls.Go(func() {
				var turn time.Time
				for {
					pass, wait := g.Enter(Call{HangUp: true, Turn: turn})
					mu.Lock()
					asked++
					if pass != nil {
						sent++
					}
					mu.Unlock()
					if pass != nil {
						pass.Done(Outcome{Kind: Answered})
						return
					}
					turn = wait.Turn
					time.Sleep(wait.Delay)
				}
			})
		}
		began := time.Now()
		calls.Wait()
		require.Equal(t, 50, sent)
		require.Less(t, time.Since(began), 7*time.Minute, "50 calls take 250 s at this pace")
		require.Less(t, asked, 50*15)
	})
}

// A probe does not go while Salesforce asks to wait, and a login that answers is an org that
// can be reached.
func TestUnreachableOrgThatAsksToWait(t *testing.T) {
	play(t, Settings{}, func(t *testing.T, g *Gate, _ func() []State) {
		for range failuresUntilOpen {
			enter(t, g, Call{}).Done(Outcome{Kind: NoAnswer})
			time.Sleep(time.Second)
		}
		time.Sleep(probeInterval)
		enter(t, g, Call{}).Done(Outcome{Kind: NoAnswer, RetryAfter: 5 * time.Minute})
		time.Sleep(4 * time.Minute)
		refuse(t, g, Call{HangUp: true})
		time.Sleep(time.Minute)
		enter(t, g, Call{}).Done(Outcome{Kind: Reachable})
		require.Equal(t, Ready, g.Status().State)
	})
}

// A pass that was forgotten, because the call has panicked, is returned once.
func TestPassIsReturnedOnce(t *testing.T) {
	play(t, Settings{InFlight: 1}, func(t *testing.T, g *Gate, _ func() []State) {
		pass := enter(t, g, Call{})
		require.NotNil(t, pass.Done(Outcome{Kind: Limited}))
		pass.Return()
		require.Nil(t, pass.Done(Outcome{Kind: Answered}))
		require.Zero(t, g.Status().InFlight)
	})
}

// A lower limit counts at once.
func TestLoweredPace(t *testing.T) {
	play(t, Settings{PerSecond: 1000}, func(t *testing.T, g *Gate, _ func() []State) {
		for range 3000 {
			if pass, _ := g.Enter(Call{Turn: time.Now()}); pass != nil {
				pass.Done(Outcome{Kind: Answered})
			}
			time.Sleep(time.Millisecond)
		}
		g.Change(Settings{PerSecond: 1})
		time.Sleep(time.Minute)
		passed := 0
		for range 100 {
			if pass, _ := g.Enter(Call{Turn: time.Now()}); pass != nil {
				pass.Done(Outcome{Kind: Answered})
				passed++
			}
		}
		require.LessOrEqual(t, passed, firstBurst)
	})
}

func TestHangUpsHaveTheirTurnFirst(t *testing.T) {
	play(t, Settings{}, func(t *testing.T, g *Gate, _ func() []State) {
		enter(t, g, Call{}).Done(Outcome{Kind: Limited})
		var idle time.Time
		for range 20 {
			idle = refuse(t, g, Call{}).Turn
		}
		for range 2 { // calls that may go at once
			enter(t, g, Call{HangUp: true}).Done(Outcome{Kind: Answered})
		}
		hangUp := refuse(t, g, Call{HangUp: true}).Turn
		require.Less(t, time.Until(hangUp), time.Until(idle)/10)
		require.Greater(t, refuse(t, g, Call{}).Turn, idle)
		time.Sleep(time.Until(hangUp) - time.Millisecond)
		refuse(t, g, Call{Turn: time.Now()})              // its turn has come, but a hang-up waits
		for wait := (&Wait{Turn: hangUp}); wait != nil; { // a turn that comes too early is followed by another one
			time.Sleep(max(wait.Delay, time.Millisecond))
			_, wait = g.Enter(Call{HangUp: true, Turn: wait.Turn})
		}
		require.Less(t, time.Until(idle), 3*time.Second)
	})
}

// use makes as many calls as may go for a time.
func use(g *Gate, d time.Duration) {
	for began := time.Now(); time.Since(began) < d; time.Sleep(10 * time.Millisecond) {
		if pass, _ := g.Enter(Call{Turn: time.Now()}); pass != nil {
			pass.Done(Outcome{Kind: Answered})
		}
	}
}

func TestPaceFindsTheLimitAndRises(t *testing.T) {
	play(t, Settings{PerSecond: 50}, func(t *testing.T, g *Gate, _ func() []State) {
		require.InDelta(t, firstPace, g.Status().Pace, 0.1)
		for range 100 {
			enter(t, g, Call{}).Done(Outcome{Kind: Answered})
			time.Sleep(time.Second)
		}
		require.InDelta(t, firstPace, g.Status().Pace, 0.1, "few calls say nothing about the limit")
		use(g, 5*time.Second)
		require.InDelta(t, 50, g.Status().Pace, 0.1)
		time.Sleep(4 * time.Second)
		enter(t, g, Call{}).Done(Outcome{Kind: Limited})
		require.InDelta(t, 25, g.Status().Pace, 0.1)
		for range 300 {
			time.Sleep(time.Second)
			enter(t, g, Call{Turn: time.Now()}).Done(Outcome{Kind: Answered})
		}
		require.InDelta(t, 25, g.Status().Pace, 0.2, "a pace that is not used does not rise")
		use(g, 10*time.Second)
		require.InDelta(t, 30, g.Status().Pace, 2)
		use(g, 30*time.Second)
		require.InDelta(t, 50, g.Status().Pace, 0.1)
	})
}

// A limit that was found is still known when the next herd comes.
func TestSecondHerdIsRefusedLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, limit := New(Options{}), rate.NewLimiter(5, 5)
		refused := func() (n int) {
			for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
				if pass, _ := g.Enter(Call{Turn: time.Now()}); pass != nil {
					outcome := Outcome{Kind: Answered}
					if !limit.Allow() {
						outcome.Kind = Limited
						n++
					}
					pass.Done(outcome)
				}
			}
			return n
		}
		first := refused()
		time.Sleep(10 * time.Minute)
		require.LessOrEqual(t, refused(), max(first, 10))
	})
}

// Turns that were given while no call went do not hold up those who ask when calls go again.
func TestTurnsEndWithTheOutage(t *testing.T) {
	unreachable := func(t *testing.T, g *Gate) (healed func()) {
		for range failuresUntilOpen {
			enter(t, g, Call{}).Done(Outcome{Kind: NoAnswer})
			time.Sleep(time.Second)
		}
		return func() {
			time.Sleep(probeInterval)
			enter(t, g, Call{HangUp: true}).Done(Outcome{Kind: Answered})
		}
	}
	paused := func(_ *testing.T, g *Gate) (healed func()) {
		g.Change(Settings{Paused: "maintenance"})
		return func() { g.Change(Settings{}) }
	}
	for name, begin := range map[string]func(*testing.T, *Gate) func(){"unreachable": unreachable, "paused": paused} {
		t.Run(name, func(t *testing.T) {
			play(t, Settings{}, func(t *testing.T, g *Gate, _ func() []State) {
				healed := begin(t, g)
				for range 3000 {
					refuse(t, g, Call{HangUp: true})
					refuse(t, g, Call{})
				}
				healed()
				enter(t, g, Call{HangUp: true}).Done(Outcome{Kind: Answered})
				enter(t, g, Call{}).Done(Outcome{Kind: Answered})
				require.Less(t, time.Until(g.Status().TurnsUntil), time.Second)
			})
		})
	}
}

// A few calls all the time do not keep the turns of a slow phase alive.
func TestTurnsEndWhenThePaceIsNotUsed(t *testing.T) {
	play(t, Settings{PerSecond: 10}, func(t *testing.T, g *Gate, _ func() []State) {
		for range 3000 {
			g.Enter(Call{})
		}
		time.Sleep(time.Second)
		require.Greater(t, time.Until(g.Status().TurnsUntil), time.Minute)
		for range 100 {
			enter(t, g, Call{}).Done(Outcome{Kind: Answered})
			time.Sleep(time.Second)
		}
	})
}

// What began before an outage does not count for the probe.
func TestCallFromBeforeTheOutageIsNoProbe(t *testing.T) {
	play(t, Settings{}, func(t *testing.T, g *Gate, _ func() []State) {
		old, late := enter(t, g, Call{}), enter(t, g, Call{})
		for range failuresUntilOpen {
			enter(t, g, Call{}).Done(Outcome{Kind: NoAnswer})
			time.Sleep(time.Second)
		}
		time.Sleep(probeInterval)
		probe := enter(t, g, Call{})
		old.Done(Outcome{Kind: NoAnswer})
		refuse(t, g, Call{})
		time.Sleep(probeInterval)
		refuse(t, g, Call{})
		late.Done(Outcome{Kind: NotSent})
		probe.Done(Outcome{Kind: Answered})
		require.Equal(t, Ready, g.Status().State)
	})
}

// An org that asks to wait is not ready, whether or not it says that there were too many calls.
func TestUnavailableOrgThatAsksToWait(t *testing.T) {
	play(t, Settings{}, func(t *testing.T, g *Gate, states func() []State) {
		enter(t, g, Call{}).Done(Outcome{Kind: NoAnswer, RetryAfter: 24 * time.Hour})
		require.Equal(t, []State{RateLimited}, states())
		wait := refuse(t, g, Call{})
		require.Equal(t, RateLimited, wait.State)
		time.Sleep(LongestWait + time.Second)
		enter(t, g, Call{Turn: wait.Turn}).Done(Outcome{Kind: Answered})
		require.Equal(t, []State{Ready}, states())
	})
}
