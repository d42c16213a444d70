package activities_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/interaction"
	"sessionkeeper/sandbox/simulator"
)

const (
	retry    = activities.Retry
	capped   = activities.Capped
	done     = activities.Done
	operator = activities.Operator
)

// row is one row of the decision table: what Salesforce does, and the result.
type row struct {
	name    string
	how     trouble
	verdict activities.Verdict
	reason  string // the error's type
	status  int    // in the details
	code    string // in the details
	delay   time.Duration
}

// trouble injects the failure of a row.
type trouble func(*lab)

// matrix contains every documented failure. It holds for both operations.
var matrix = []row{
	// errorReason, in a 200
	{
		"conversation precondition failed", reason("CONVERSATION_PRECONDITION_FAILED"), retry,
		"CONVERSATION_PRECONDITION_FAILED", 200, "", 0,
	},
	{
		"conversation processing aborted", reason("CONVERSATION_PROCESSING_ABORTED"), retry,
		"CONVERSATION_PROCESSING_ABORTED", 200, "", 0,
	},
	{"internal error", reason("INTERNAL_ERROR"), retry, "INTERNAL_ERROR", 200, "", 0},
	{"end session failed", reason("END_SESSION_FAILED"), capped, "END_SESSION_FAILED", 200, "", 0},
	{"customer error", reason("CUSTOMER_ERROR"), capped, "CUSTOMER_ERROR", 200, "", 30 * time.Second},
	{
		"active conversation not found", reason("ACTIVE_CONVERSATION_NOT_FOUND"), done, "ACTIVE_CONVERSATION_NOT_FOUND", 200,
		"", 0,
	},
	{"session not found", reason("SESSION_NOT_FOUND"), done, "SESSION_NOT_FOUND", 200, "", 0},
	{"end user not found", reason("END_USER_NOT_FOUND"), operator, "END_USER_NOT_FOUND", 200, "", 0},
	{"channel address not found", reason("CHANNEL_ADDRESS_NOT_FOUND"), operator, "CHANNEL_ADDRESS_NOT_FOUND", 200, "", 0},
	{
		"channel address is inactive", reason("CHANNEL_ADDRESS_IS_INACTIVE"), operator, "CHANNEL_ADDRESS_IS_INACTIVE", 200,
		"", 0,
	},
	{"org not found", reason("ORG_NOT_FOUND"), operator, "ORG_NOT_FOUND", 200, "", 0},
	{"permission denied", reason("PERMISSION_DENIED"), operator, "PERMISSION_DENIED", 200, "", 0},
	{"no access", reason("NO_ACCESS"), operator, "NO_ACCESS", 200, "", 0},
	{"an unknown reason", reason("SESSION_ON_FIRE"), capped, "SESSION_ON_FIRE", 200, "", 0},
	{
		"a reason and Retry-After", answer(simulator.Answer{ErrorReason: "INTERNAL_ERROR", RetryAfter: wait(7)}), retry,
		"INTERNAL_ERROR", 200, "", 7 * time.Second,
	},
	{
		"a Retry-After longer than our spacing",
		answer(simulator.Answer{ErrorReason: "CUSTOMER_ERROR", RetryAfter: wait(90)}), capped, "CUSTOMER_ERROR", 200, "",
		90 * time.Second,
	},
	{
		"a Retry-After shorter than our spacing",
		answer(simulator.Answer{ErrorReason: "CUSTOMER_ERROR", RetryAfter: wait(2)}), capped, "CUSTOMER_ERROR", 200, "",
		30 * time.Second,
	},

	// network
	{"connection refused", refused, retry, "NETWORK_ERROR", 0, "", 0},
	{"connection reset", spoiled(simulator.Reset), retry, "NETWORK_ERROR", 0, "", 0},
	{"no answer in time", slow(simulator.MessagingSessionEndpoint), retry, "TIMEOUT", 0, "", 0},
	{"no rest of the answer in time", stalls, retry, "TIMEOUT", 200, "", 0},

	// HTTP status
	{"408", status(408), retry, "HTTP_408", 408, "408", 0},
	{"429", status(429), retry, "RATE_LIMIT_EXCEEDED", 429, "429", 0},
	{
		"429 with Retry-After", answer(simulator.Answer{Status: 429, RetryAfter: wait(12)}), retry, "RATE_LIMIT_EXCEEDED",
		429, "429", 12 * time.Second,
	},
	{"500", status(500), retry, "INTERNAL_ERROR", 500, "500", 0},
	{"502", status(502), retry, "HTTP_502", 502, "502", 0},
	{
		"503 with Retry-After", answer(simulator.Answer{Status: 503, RetryAfter: wait(3)}), retry, "HTTP_503", 503, "503",
		3 * time.Second,
	},
	{"504 of a proxy", says(504, "<html>Gateway Timeout</html>"), retry, "HTTP_504", 504, "", 0},
	{"599", status(599), retry, "HTTP_599", 599, "599", 0},
	{
		"rate limit by message, under 400", answer(simulator.Answer{Status: 400, Message: rateLimit}), retry,
		"RATE_LIMIT_EXCEEDED", 400, "400", 0,
	},
	{
		"rate limit by message, under 403", answer(simulator.Answer{Status: 403, Message: rateLimit}), retry,
		"RATE_LIMIT_EXCEEDED", 403, "403", 0,
	},
	{"420 of Salesforce's edge", status(420), retry, "HTTP_420", 420, "420", 0},
	{
		"421 with Retry-After", answer(simulator.Answer{Status: 421, RetryAfter: wait(4)}), retry, "HTTP_421", 421, "421",
		4 * time.Second,
	},
	{"425", says(425, ""), retry, "HTTP_425", 425, "", 0},
	{"598 of a proxy", says(598, "<html>"), retry, "HTTP_598", 598, "", 0},
	{
		"request limit, as 403", answer(simulator.Answer{
			Status: 403, Symbol: "REQUEST_LIMIT_EXCEEDED", Message: "TotalRequests Limit exceeded.", RetryAfter: wait(9),
		}), retry, "RATE_LIMIT_EXCEEDED", 403, "REQUEST_LIMIT_EXCEEDED", 9 * time.Second,
	},
	{
		"request limit, as a list", says(403, `[{"message":"no","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`), retry,
		"RATE_LIMIT_EXCEEDED", 403, "REQUEST_LIMIT_EXCEEDED", 0,
	},
	{
		"request limit, beside a number", says(403, `{"code":403,"symbol":"REQUEST_LIMIT_EXCEEDED"}`), retry,
		"RATE_LIMIT_EXCEEDED", 403, "REQUEST_LIMIT_EXCEEDED", 0,
	},
	{
		"request limit, as a reason", reason("REQUEST_LIMIT_EXCEEDED"), retry, "RATE_LIMIT_EXCEEDED", 200, "", 0,
	},
	{"403 of a firewall", says(403, "<html>Forbidden"), operator, "FORBIDDEN", 403, "", 0},
	{
		"a locked row, as 400", answer(simulator.Answer{Status: 400, Symbol: "UNABLE_TO_LOCK_ROW"}), retry,
		"UNABLE_TO_LOCK_ROW", 400, "UNABLE_TO_LOCK_ROW", 0,
	},
	{"423", status(423), operator, "HTTP_423", 423, "423", 0},
	{"401", status(401), operator, "UNAUTHORIZED", 401, "401", 0},
	{"403", status(403), operator, "FORBIDDEN", 403, "403", 0},
	{"400", status(400), operator, "HTTP_400", 400, "400", 0},
	{"404 with no body", says(404, ""), operator, "HTTP_404", 404, "", 0},
	{"409", status(409), operator, "HTTP_409", 409, "409", 0},
	{
		"400 with Retry-After", answer(simulator.Answer{Status: 400, RetryAfter: wait(5)}), operator, "HTTP_400", 400, "400",
		0,
	},
	{"302", says(302, ""), operator, "HTTP_302", 302, "", 0},

	// 2xx without the expected JSON
	{"200, cut off", spoiled(simulator.Truncate), capped, "INVALID_RESPONSE", 200, "", 0},
	{"200, HTML", spoiled(simulator.NotJSON), capped, "INVALID_RESPONSE", 200, "", 0},
	{"200, endless", spoiled(simulator.Huge), capped, "INVALID_RESPONSE", 200, "", 0},
	{"200, empty", says(200, ""), capped, "INVALID_RESPONSE", 200, "", 0},
	{"204", says(204, ""), capped, "INVALID_RESPONSE", 204, "", 0},
	{"200, null", says(200, "null"), capped, "INVALID_RESPONSE", 200, "", 0},
	{"200, no field success", says(200, `{"done":true}`), capped, "INVALID_RESPONSE", 200, "", 0},
	{"200, success no boolean", says(200, `{"success":"true"}`), capped, "INVALID_RESPONSE", 200, "", 0},
	{"200, success:false without a reason", says(200, `{"success":false}`), capped, "UNKNOWN", 200, "", 0},

	// codes, with a status that alone would mean something else
	{"500 as code", code(500, 400), retry, "INTERNAL_ERROR", 400, "500", 0},
	{"10001", code(10001, 400), operator, "FORBIDDEN", 400, "10001", 0},
	{"10003", code(10003, 400), operator, "FORBIDDEN", 400, "10003", 0},
	{"10004", code(10004, 400), operator, "UNAUTHORIZED", 400, "10004", 0},
	{"10005", code(10005, 400), operator, "FORBIDDEN", 400, "10005", 0},
	{"10016", code(10016, 400), operator, "FORBIDDEN", 400, "10016", 0},
	{"10017", code(10017, 503), operator, "CHANNEL_ADDRESS_NOT_FOUND", 503, "10017", 0},
	{"10018: not valid is not done", code(10018, 503), operator, "CONVERSATION_IDENTIFIER_NOT_VALID", 503, "10018", 0},
	{"10019", code(10019, 400), retry, "ORG_MIGRATION_IN_PROGRESS", 400, "10019", 0},
	{"10020", code(10020, 503), operator, "END_USER_NOT_FOUND", 503, "10020", 0},
	{"10025", code(10025, 400), done, "ACTIVE_CONVERSATION_NOT_FOUND", 400, "10025", 0},
	{"10026", code(10026, 503), operator, "CHANNEL_ADDRESS_NOT_FOUND", 503, "10026", 0},
	{"10031", code(10031, 503), operator, "CHANNEL_ADDRESS_IS_INACTIVE", 503, "10031", 0},
	{"10035", code(10035, 503), operator, "CHANNEL_ADDRESS_NOT_FOUND", 503, "10035", 0},
	{"10055", code(10055, 400), retry, "CONVERSATION_PRECONDITION_FAILED", 400, "10055", 0},
	{"10056", code(10056, 400), retry, "CONVERSATION_PROCESSING_ABORTED", 400, "10056", 0},
	{"10058", code(10058, 400), capped, "CUSTOMER_ERROR", 400, "10058", 30 * time.Second},
	{"10071", code(10071, 400), done, "SESSION_NOT_FOUND", 400, "10071", 0},
	{"10072: not valid is not done", code(10072, 503), operator, "SESSION_ID_NOT_VALID", 503, "10072", 0},
	{"10093", code(10093, 400), operator, "FORBIDDEN", 400, "10093", 0},
	{"10094", code(10094, 400), retry, "TIMEOUT", 400, "10094", 0},
	{"10099", code(10099, 503), operator, "PERMISSION_DENIED", 503, "10099", 0},
	{"10102", code(10102, 503), operator, "INVALID_REQUEST", 503, "10102", 0},
	{"10103", code(10103, 503), operator, "INVALID_REQUEST", 503, "10103", 0},
	{"10104", code(10104, 503), operator, "NO_ACCESS", 503, "10104", 0},
	{"10105", code(10105, 503), operator, "END_USER_NOT_FOUND", 503, "10105", 0},
	{"10106", code(10106, 503), operator, "SESSION_ID_MISSING", 503, "10106", 0},
	{"15102", code(15102, 503), operator, "PERMISSION_DENIED", 503, "15102", 0},
	{"15105", code(15105, 503), operator, "PERMISSION_DENIED", 503, "15105", 0},
	{"an unknown code", code(19999, 400), operator, "HTTP_400", 400, "19999", 0},
	{"an unknown code, with 503", code(19999, 503), retry, "HTTP_503", 503, "19999", 0},
	{
		"a symbolic code of a known reason", answer(simulator.Answer{Status: 400, Symbol: "SESSION_NOT_FOUND"}), done,
		"SESSION_NOT_FOUND", 400, "SESSION_NOT_FOUND", 0,
	},
	{
		"an unknown symbolic code", answer(simulator.Answer{Status: 400, Symbol: "ON_FIRE"}), operator, "HTTP_400", 400,
		"ON_FIRE", 0,
	},
	{"a code in a 200", says(200, `{"code":10017,"message":"?"}`), operator, "CHANNEL_ADDRESS_NOT_FOUND", 200, "10017", 0},

	// token endpoint
	{"token: connection reset", spoiledToken(simulator.Reset), retry, "TOKEN_NETWORK_ERROR", 0, "", 0},
	{"token: no answer in time", slow(simulator.TokenEndpoint), retry, "TOKEN_TIMEOUT", 0, "", 0},
	{"token: 503", token(503, "down", 0), retry, "TOKEN_HTTP_503", 503, "down", 0},
	{"token: 429 with Retry-After", token(429, "slow", 20), retry, "TOKEN_HTTP_429", 429, "slow", 20 * time.Second},
	{"token: 408", token(408, "", 0), retry, "TOKEN_HTTP_408", 408, "unknown_error", 0},
	{"token: 420", token(420, "edge", 0), retry, "TOKEN_HTTP_420", 420, "edge", 0},
	{"token: unknown_error", token(400, "unknown_error", 0), retry, "TOKEN_UNKNOWN_ERROR", 400, "unknown_error", 0},
	{
		"token: temporarily_unavailable", token(400, "temporarily_unavailable", 6), retry,
		"TOKEN_TEMPORARILY_UNAVAILABLE", 400, "temporarily_unavailable", 6 * time.Second,
	},
	{"token: server_error", token(400, "server_error", 0), retry, "TOKEN_SERVER_ERROR", 400, "server_error", 0},
	{
		"token: login rate exceeded", tokenSays("invalid_grant", "login rate exceeded"), retry, "TOKEN_INVALID_GRANT", 400,
		"invalid_grant", 0,
	},
	{"token: invalid_grant", token(400, "invalid_grant", 0), capped, "TOKEN_INVALID_GRANT", 400, "invalid_grant", spaced},
	{
		"token: invalid_grant with Retry-After", token(400, "invalid_grant", 50), capped, "TOKEN_INVALID_GRANT", 400,
		"invalid_grant", 50 * time.Second,
	},
	{
		"token: invalid_client_id", token(400, "invalid_client_id", 0), capped, "TOKEN_INVALID_CLIENT_ID", 400,
		"invalid_client_id", spaced,
	},
	{
		"token: invalid_app_access", token(400, "invalid_app_access", 0), capped, "TOKEN_INVALID_APP_ACCESS", 400,
		"invalid_app_access", spaced,
	},
	{
		"token: 401 invalid_client", token(401, "invalid_client", 0), capped, "TOKEN_INVALID_CLIENT", 401, "invalid_client",
		spaced,
	},
	{"token: 200, HTML", spoiledToken(simulator.NotJSON), retry, "TOKEN_INVALID_RESPONSE", 200, "", 0},
	{"token: 200, cut off", spoiledToken(simulator.Truncate), retry, "TOKEN_INVALID_RESPONSE", 200, "", 0},
	{"token: refused when renewed", renewalRefused, capped, "TOKEN_INVALID_GRANT", 400, "invalid_grant", spaced},
}

// spaced is the delay between two tries of a refused token request.
const spaced = 20 * time.Second

func TestMatrix(t *testing.T) {
	t.Parallel()
	for _, r := range matrix {
		for _, op := range operations {
			t.Run(r.name+"/"+string(op), func(t *testing.T) {
				t.Parallel()
				l := newLab(t, time.Second)
				r.how(l)
				r.check(t, l, op)
			})
		}
	}
}

func (r row) check(t *testing.T, l *lab, op conversation.Operation) {
	got := attempt(t, l.do, op, request(), nil)
	require.Equal(t, r.reason, got.answer.Reason)
	require.Equal(t, r.status, got.answer.HTTPStatus)
	require.Equal(t, r.code, got.answer.Code)
	require.Equal(t, op, got.answer.Operation)
	require.Equal(t, conversation.System, got.answer.By)
	require.Equal(t, 1, got.answer.Attempt)
	require.WithinDuration(t, time.Now(), got.answer.At, time.Minute)
	notActive := r.reason == "ACTIVE_CONVERSATION_NOT_FOUND" && op == conversation.Inactivate
	require.Equal(t, r.verdict == done && !notActive, got.answer.AlreadyOver)
	require.Equal(t, notActive, got.answer.NotActive)
	if calls := l.apiCalls(); len(calls) > 0 {
		require.Equal(t, calls[len(calls)-1].RequestID, got.answer.RequestID)
		for _, call := range calls {
			require.Empty(t, call.Violations)
		}
	}
	if r.verdict == done {
		require.Nil(t, got.failure)
		return
	}
	require.NotNil(t, got.failure)
	require.Equal(t, r.reason, got.failure.Type())
	require.Equal(t, r.verdict == operator, got.failure.NonRetryable())
	if delay := got.failure.NextRetryDelay(); r.reason == "RATE_LIMIT_EXCEEDED" || r.status == http.StatusTooManyRequests {
		require.Greater(t, delay, r.delay, "a turn after the time that Salesforce asks for")
		require.Less(t, delay, r.delay+time.Second)
	} else {
		require.Equal(t, r.delay, delay)
	}
	require.NotContains(t, got.failure.Message(), "  ")
	require.Regexp(t, `^(Inactivate|End) (failed|was not sent|got no usable answer): .*\.$`, got.failure.Message())

	// After many such failures, only a retry is still retryable.
	again := attempt(t, l.do, op, request(), &progress{Capped: 100})
	require.Equal(t, r.verdict != retry, again.failure.NonRetryable())
}

// Every documented reason has a row.
func TestMatrixIsComplete(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for _, r := range matrix {
		covered[r.reason] = true
	}
	for _, known := range interaction.Reasons() {
		require.True(t, covered[string(known)], known)
	}
}

const rateLimit = "Interaction request rate limit exceeded"

func wait(seconds int) simulator.Duration {
	return simulator.Duration(time.Duration(seconds) * time.Second)
}

func answer(a simulator.Answer) trouble {
	return func(l *lab) { l.inject(simulator.Fault{Endpoint: simulator.MessagingSessionEndpoint, Answer: &a}) }
}

func reason(name string) trouble { return answer(simulator.Answer{ErrorReason: name}) }
func status(status int) trouble  { return answer(simulator.Answer{Status: status}) }

// code answers with a code and a message that repeats the end user.
func code(code, status int) trouble {
	message := "Code " + strconv.Itoa(code) + " for {endUserClientId}."
	return answer(simulator.Answer{Status: status, Code: code, Message: message})
}

func spoiled(b simulator.Break) trouble {
	return func(l *lab) { l.inject(simulator.Fault{Endpoint: simulator.MessagingSessionEndpoint, Break: b}) }
}

func spoiledToken(b simulator.Break) trouble {
	return func(l *lab) { l.inject(simulator.Fault{Endpoint: simulator.TokenEndpoint, Break: b}) }
}

func slow(endpoint simulator.Endpoint) trouble {
	return func(l *lab) { l.inject(simulator.Fault{Endpoint: endpoint, Latency: wait(60)}) }
}

func token(status int, symbol string, retryAfter int) trouble {
	a := simulator.Answer{Status: status, Symbol: symbol, Message: "no token for you", RetryAfter: wait(retryAfter)}
	return func(l *lab) { l.inject(simulator.Fault{Endpoint: simulator.TokenEndpoint, Answer: &a}) }
}

func tokenSays(symbol, message string) trouble {
	a := simulator.Answer{Status: 400, Symbol: symbol, Message: message}
	return func(l *lab) { l.inject(simulator.Fault{Endpoint: simulator.TokenEndpoint, Answer: &a}) }
}

func says(status int, body string) trouble {
	return func(l *lab) {
		l.api = func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
}

// stalls sends only the beginning of an answer.
func stalls(l *lab) {
	l.api = func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"succ`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// refused is an API without a listener.
func refused(l *lab) {
	closed := httptest.NewServer(nil)
	closed.Close()
	client, err := interaction.NewClient(closed.URL, fixedToken("token"), interaction.ClientOptions{})
	require.NoError(l.t, err)
	l.do = newActivities(client)
}

type fixedToken string

func (f fixedToken) Token(context.Context) (string, error)         { return string(f), nil }
func (f fixedToken) Renew(context.Context, string) (string, error) { return string(f), nil }

// renewalRefused is an expired token that cannot be renewed.
func renewalRefused(l *lab) {
	says(503, "")(l)
	_ = attempt(l.t, l.do, conversation.End, request(), nil) // takes a token
	l.api = nil
	l.ExpireTokens()
	token(400, "invalid_grant", 0)(l)
}
