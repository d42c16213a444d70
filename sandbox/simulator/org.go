package simulator

import (
	"crypto/rsa"
	"slices"
	"sync"

	"golang.org/x/time/rate"
)

// org is an Org at run time.
type org struct {
	Org
	publicKey *rsa.PublicKey
	limiter   *rate.Limiter
	sessions  *sessions

	mu       sync.Mutex
	channels map[string]bool // by id: active?
}

func newOrg(o Org, requestsPerSecond int) (*org, error) {
	key, err := o.key()
	if err != nil {
		return nil, err
	}
	if len(o.Audiences) == 0 {
		o.Audiences = salesforceAudiences
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = Duration(DefaultTokenLifetime)
	}
	channels := map[string]bool{}
	for _, a := range o.ChannelAddresses {
		channels[a.ID] = !a.Inactive
	}
	return &org{
		Org: o, publicKey: key, sessions: newSessions(), channels: channels,
		limiter: rate.NewLimiter(rate.Limit(requestsPerSecond), requestsPerSecond),
	}, nil
}

func (o *org) setChannel(id string, active bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.channels[id]; !known {
		return ErrChannelNotFound
	}
	o.channels[id] = active
	return nil
}

// refuses is the first business rule that a well-formed call breaks before any
// conversation is looked at, or empty.
func (o *org) refuses(c *call) Cause {
	if !slices.Contains(o.ChannelDefinitions, c.header("AuthorizationContext")) {
		return PermissionDenied
	}
	o.mu.Lock()
	active, known := o.channels[c.fields["channelAddressIdentifier"]]
	o.mu.Unlock()
	switch {
	case !known:
		return ChannelAddressNotFound
	case !active:
		return ChannelAddressInactive
	case len(o.EndUsers) > 0 && !slices.Contains(o.EndUsers, c.fields["endUserClientId"]):
		return EndUserNotFound
	}
	return ""
}
