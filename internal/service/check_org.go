package service

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"sessionkeeper/activities"
	"sessionkeeper/internal/interaction"
	"sessionkeeper/internal/preflight"
)

// The checks of an org.
const (
	isUsable     = "its settings and its secret can be used"
	isNotPaused  = "it is not paused"
	getsToken    = "the token endpoint grants a token"
	hasScope     = "the token has the scope interaction_api"
	loginClock   = "this machine's clock is that of the token endpoint"
	apiAnswers   = "the Interaction Service answers at the API base URL"
	acceptsToken = "it accepts the token, and the user may use it"
	knowsChannel = "it knows the authorization context and the channel"
)

// tokenClocksDiffer is the difference of the clocks from which on a login may fail: the
// assertion is valid for a short time.
const tokenClocksDiffer = 30 * time.Second

// checkOrg checks one org by one request for a conversation that does not exist.
func checkOrg(ctx context.Context, o CheckOptions, settings Org) preflight.Report {
	c := checks{group: "Org " + settings.OrgID}
	seen := &recorder{next: interaction.NewTransport()}
	client, err := newReading(settings).client(o.Version, seen)
	if err != nil {
		c.failed(isUsable, err, "")
		c.skipped(getsToken, apiAnswers, acceptsToken)
		return c.report
	}
	c.ok(isUsable, settings.APIBaseURL)
	if settings.Paused {
		c.warning(isNotPaused, settings.PauseReason, "Set paused to false when its calls may go.")
	}
	_, err = client.MessagingSession(ctx, harmless(o, settings.OrgID))
	if token, failed := errors.AsType[*interaction.TokenError](err); failed {
		c.failed(getsToken, token, activities.Decide(err).Hint)
		c.loginClock(seen)
		c.skipped(apiAnswers, acceptsToken)
		return c.report
	}
	c.ok(getsToken, "")
	c.scope(seen)
	c.loginClock(seen)
	c.api(o, err)
	return c.report
}

// harmless is a request that changes nothing: its conversation, and unless they are given its
// authorization context and channel, do not exist.
func harmless(o CheckOptions, orgID string) interaction.Request {
	return interaction.Request{
		OrgID:                    orgID,
		AuthorizationContext:     cmp.Or(o.AuthorizationContext, "sessionkeeper_check"),
		ChannelAddressIdentifier: cmp.Or(o.ChannelAddressIdentifier, uuid.NewString()),
		EndUserClientID:          "sessionkeeper-check-" + uuid.NewString(),
		ConversationIdentifier:   uuid.NewString(),
		SessionID:                "0Mw000000000000",
		Operation:                interaction.Inactivate,
		OperationBy:              interaction.BySystem,
		RequestID:                uuid.New(),
	}
}

func (c *checks) scope(seen *recorder) {
	scopes := seen.scopes()
	switch {
	case len(scopes) == 0:
	case slices.Contains(scopes, "interaction_api"):
		c.ok(hasScope, "")
	default:
		c.failed(hasScope, nil, "Add the scope interaction_api to the connected app.")
	}
}

func (c *checks) loginClock(seen *recorder) {
	ahead, known := seen.ahead()
	switch {
	case !known:
	case ahead.Abs() > tokenClocksDiffer:
		c.warning(loginClock, fmt.Sprintf("Its clock is %s ahead.", ahead.Round(time.Second)),
			"Synchronize this machine's clock (NTP). A login is valid for a short time only.")
	default:
		c.ok(loginClock, "")
	}
}

// api judges the answer to the request. As neither its conversation nor, by default, its
// channel exists, an answer that says so is a good one.
func (c *checks) api(o CheckOptions, err error) {
	failure, _ := errors.AsType[*interaction.Error](err)
	d := activities.Decide(err)
	switch {
	case err == nil:
		c.ok(apiAnswers, "")
		c.warning(acceptsToken, "It has accepted a request for a conversation that does not exist.", "Is this Salesforce?")
	case failure == nil || failure.Err != nil:
		c.failed(apiAnswers, err, cmp.Or(d.Hint, "Check apiBaseUrl, the network and the proxies on the way."))
		c.skipped(acceptsToken)
	case d.WholeOrg || d.Verdict == activities.Retry:
		c.warning(apiAnswers, err.Error(), "It is not available now, or limits its requests. Try again later.")
		c.skipped(acceptsToken)
	case isAboutTheChannel(failure):
		c.ok(apiAnswers, "")
		c.ok(acceptsToken, "as far as a request for a conversation that does not exist can tell")
		if o.AuthorizationContext != "" || o.ChannelAddressIdentifier != "" {
			c.failed(knowsChannel, err, d.Hint)
		}
	case isAboutTheConversation(d):
		c.ok(apiAnswers, "")
		c.ok(acceptsToken, "as far as a request for a conversation that does not exist can tell")
		if o.AuthorizationContext != "" && o.ChannelAddressIdentifier != "" {
			c.ok(knowsChannel, "")
		}
	case o.AuthorizationContext == "" && isAboutRights(failure):
		c.ok(apiAnswers, "")
		c.add(preflight.Note, acceptsToken,
			"It refuses a request with an authorization context that does not exist: "+err.Error(),
			"Name one that exists with -authorization-context, to see whether the user has the rights.")
	default:
		c.ok(apiAnswers, "")
		c.failed(acceptsToken, err, d.Hint)
	}
}

// isAboutRights reports whether the answer may come from the authorization context.
func isAboutRights(failure *interaction.Error) bool {
	return slices.Contains([]interaction.ErrorReason{
		interaction.ReasonPermissionDenied, interaction.ReasonNoAccess,
	}, failure.Reason) || slices.Contains([]string{"10099", "10104", "15102", "15105"}, failure.Code)
}

// channelCodes are Salesforce's codes for an authorization context or a channel that does not
// exist, or that do not belong together.
var channelCodes = []string{"10001", "10005", "10016", "10017", "10026", "10031", "10035", "10093"}

func isAboutTheChannel(failure *interaction.Error) bool {
	return slices.Contains(channelCodes, failure.Code) ||
		slices.Contains([]interaction.ErrorReason{
			interaction.ReasonChannelAddressNotFound, interaction.ReasonChannelAddressIsInactive,
		}, failure.Reason)
}

func isAboutTheConversation(d activities.Decision) bool {
	return d.Verdict == activities.Done || slices.Contains([]string{
		string(interaction.ReasonEndUserNotFound), activities.ReasonInvalidConv, activities.ReasonInvalidSession,
	}, d.Reason)
}

// recorder keeps what the token endpoint says besides the token.
type recorder struct {
	next http.RoundTripper

	mu    sync.Mutex
	scope string
	date  time.Time
	at    time.Time
}

// maxTokenResponse is the longest answer of a token endpoint that is looked at, in bytes.
const maxTokenResponse = 64 << 10

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.next.RoundTrip(request)
	if err != nil || !strings.HasPrefix(request.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return response, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = time.Now()
	r.date, _ = http.ParseTime(response.Header.Get("Date"))
	start, err := io.ReadAll(io.LimitReader(response.Body, maxTokenResponse))
	var granted struct {
		Scope string `json:"scope"`
	}
	if err == nil && json.Unmarshal(start, &granted) == nil {
		r.scope = granted.Scope
	}
	rest := response.Body
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), rest), rest}
	return response, nil
}

func (r *recorder) scopes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Fields(r.scope)
}

// ahead is how far the clock of the token endpoint is ahead, to about a second.
func (r *recorder) ahead() (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.date.Sub(r.at), !r.date.IsZero()
}
