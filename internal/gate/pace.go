package gate

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// pace is how many calls per second may go.
//
// It starts low and doubles every second in which as many calls are accepted. When Salesforce
// refuses a call, it is halved until no more are refused. From then on it rises slowly,
// because the limit is probably the same, then faster and faster; and with each refusal it
// falls by a small part. So it stays near the limit, and most calls are accepted. Each
// worker finds its share in this way.
//
// Calls that may not go get turns, one after the other. Turns come faster than the pace, so
// that a pace that rises finds calls to send. A call whose turn comes too early gets another
// one.
type pace struct {
	// most is the highest pace.
	most float64
	// base is the pace after the last refusal. Before the first one, it is the pace.
	base   float64
	bucket *rate.Limiter
	// falling: the first refusals came just now, and the limit is not known yet.
	falling bool
	// admittedAt is when the last call went.
	admittedAt time.Time
	// refusedAt is when the pace fell last, zero for never.
	refusedAt time.Time
	// risen is for how long the pace has risen since then: only while it was made use of.
	risen time.Duration
	// heldUntil is until when Salesforce wants no call.
	heldUntil time.Time
	// turns is until when turns have been given, to hang-ups and to other calls.
	turns [2]time.Time
	// duration of a call, an average that follows slowly.
	duration time.Duration
}

// Indices of pace.turns.
const (
	hangUps = iota
	others
)

// These values are chosen for few refusals and a short time to the limit, see TestHerds.
const (
	firstPace  = 10
	firstBurst = 3
	slowest    = 0.1
	// oneRefusal is how long refusals count as one: the calls were in flight together.
	oneRefusal = 250 * time.Millisecond
	// fallsFor is how long after a refusal another one says that the limit is lower still.
	fallsFor = time.Second
	// firstFall and fall are what remains of the pace after a refusal.
	firstFall = 0.5
	fall      = 0.85
	// The pace first rises by riseShare of itself per second, but at least by leastRise. This
	// doubles every riseDoubles.
	riseShare   = 0.015
	leastRise   = 0.03
	riseDoubles = 10 * time.Second
	// ahead is how much faster turns come than the pace.
	ahead = 1.5
	// longestUse is for how long at most one call makes use of the pace, in calls at the pace,
	// and at least leastUse.
	longestUse = 3
	leastUse   = time.Second
	// heldFor is how long after Retry-After calls keep their turns.
	heldFor = 2 * time.Second
)

func newPace(most float64) *pace {
	first := min(firstPace, most)
	return &pace{
		most: most, base: first, bucket: rate.NewLimiter(rate.Limit(first), firstBurst),
		duration: 100 * time.Millisecond,
	}
}

// current is the pace of now.
func (p *pace) current() float64 {
	if p.refusedAt.IsZero() {
		return min(p.base, p.most)
	}
	perDoubling := max(leastRise, riseShare*p.base) * riseDoubles.Seconds() / math.Ln2
	return min(p.base+perDoubling*(math.Exp2(p.risen.Seconds()/riseDoubles.Seconds())-1), p.most)
}

// isLimited reports whether Salesforce has refused a call within the last minute, or wants
// no call now.
func (p *pace) isLimited(now time.Time) bool {
	return p.wasRefused(now) || now.Before(p.heldUntil)
}

func (p *pace) wasRefused(now time.Time) bool {
	return !p.refusedAt.IsZero() && now.Before(latest(p.refusedAt, p.heldUntil).Add(limitedFor))
}

// admit reports whether a call may go now. A call that has had its turn goes before those
// that ask for the first time. Other calls do not go while hang-ups wait. isSlack says that
// no call waits for another one to end.
func (p *pace) admit(now time.Time, c Call, isSlack bool) bool {
	if now.Before(p.heldUntil) {
		return false
	}
	p.apply(now)
	if isSlack && p.isUnused(now) {
		p.forgetTurns()
	}
	hadTurn := !c.Turn.IsZero() && !c.Turn.After(now)
	hangUpsWait := !c.HangUp && p.turns[hangUps].After(now)
	if hangUpsWait || !hadTurn && p.lastTurn(c).After(now) || !p.bucket.AllowN(now, 1) {
		return false
	}
	p.rise(now)
	p.admittedAt = now
	return true
}

// apply makes the bucket follow the pace.
func (p *pace) apply(now time.Time) {
	perSecond := p.current()
	p.bucket.SetLimitAt(now, rate.Limit(perSecond))
	p.bucket.SetBurstAt(now, int(max(firstBurst, perSecond/2)))
}

// isUnused reports whether as many calls may go at once as ever: those that were given turns
// come too late.
func (p *pace) isUnused(now time.Time) bool {
	return p.bucket.TokensAt(now) >= float64(p.bucket.Burst()) && now.After(p.heldUntil.Add(heldFor))
}

// isUsed reports whether the calls need the pace: less than half as many may go at once as
// when no call goes.
func (p *pace) isUsed(now time.Time) bool {
	return p.bucket.TokensAt(now) < firstBurst/2.0
}

func (p *pace) forgetTurns() { p.turns = [2]time.Time{} }

// rise raises the pace after a refusal for the time since the last call, if it is used.
func (p *pace) rise(now time.Time) {
	if p.refusedAt.IsZero() || !p.isUsed(now) {
		return
	}
	longest := max(leastUse, time.Duration(longestUse*float64(time.Second)/p.current()))
	p.risen += min(now.Sub(latest(p.admittedAt, latest(p.refusedAt, p.heldUntil))), longest)
}

// lastTurn is the last turn that was given to a call which goes before this one.
func (p *pace) lastTurn(c Call) time.Time {
	if c.HangUp {
		return p.turns[hangUps]
	}
	return latest(p.turns[hangUps], p.turns[others])
}

// giveTurn returns the turn of a call that may not go now. A call that has one keeps it,
// unless it would get an earlier one. Turns come at most so many per second.
func (p *pace) giveTurn(now time.Time, c Call, most float64) time.Time {
	perSecond := p.current()
	if p.refusedAt.IsZero() {
		perSecond = p.most // the limit is not known, and a turn that is too early does little harm
	}
	perSecond = ahead * min(perSecond, most)
	turn := latest(latest(now, p.heldUntil), p.lastTurn(c)).Add(time.Duration(float64(time.Second) / perSecond))
	if c.Turn.After(now) && c.Turn.Before(turn) && !c.Turn.Before(p.heldUntil) {
		return c.Turn
	}
	if c.HangUp {
		p.turns[hangUps] = turn
	} else {
		p.turns[others] = turn
	}
	return turn
}

// accepted raises a pace that is made use of, as long as no call was refused.
func (p *pace) accepted(now time.Time) {
	if p.refusedAt.IsZero() && p.isUsed(now) {
		p.base = min(p.base+1, p.most)
		p.apply(now)
	}
}

func (p *pace) refused(now time.Time, retryAfter time.Duration) {
	if p.refusedAt.IsZero() || !now.Before(p.refusedAt.Add(oneRefusal)) {
		switch {
		case !p.wasRefused(now):
			p.falling = true
		case now.After(p.refusedAt.Add(fallsFor)):
			p.falling = false
		}
		left := fall
		if p.falling {
			left = firstFall
		}
		p.base, p.refusedAt, p.risen = max(slowest, left*p.current()), now, 0
		p.apply(now)
	}
	p.hold(now, retryAfter)
}

// hold lets no call go for a time.
func (p *pace) hold(now time.Time, d time.Duration) { p.heldUntil = latest(p.heldUntil, now.Add(d)) }

// limit takes another highest pace.
func (p *pace) limit(now time.Time, most float64) {
	p.most = most
	p.base = min(p.base, most)
	p.apply(now)
}

// measure takes the duration of a call.
func (p *pace) measure(d time.Duration) {
	p.duration = max(time.Millisecond, p.duration+(d-p.duration)/8)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
