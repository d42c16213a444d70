package interaction

import (
	"errors"
	"sync"
	"time"
)

// renewAgainAfter is how long a token is used that replaced a rejected one, even if it
// is rejected too: then the rejection has another cause than the token's age.
const renewAgainAfter = time.Minute

// renewals limits the logins that rejected requests cause.
type renewals struct {
	mu         sync.Mutex
	acceptedOf string    // the last token that Salesforce accepted
	rejected   string    // the last token that was replaced
	at         time.Time // when
}

// accepted records that Salesforce accepted a token.
func (r *renewals) accepted(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acceptedOf = token
}

// allow reports whether a request that was rejected with this token may ask for
// another one. Those that were rejected with the same token ask together.
func (r *renewals) allow(token string, failure *Error, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	recent := now.Sub(r.at) < renewAgainAfter
	if recent && token == r.rejected {
		return true
	}
	expired := failure.tokenInvalid() && token == r.acceptedOf
	if recent && !expired {
		return false
	}
	r.rejected, r.at = token, now
	return true
}

// passing reports whether a token request failed for a reason that passes.
func passing(err error) bool {
	token, ok := errors.AsType[*TokenError](err)
	return ok && token.Passing()
}
