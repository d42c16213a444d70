package interaction_test

import (
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/interaction"
)

func TestSuccess(t *testing.T) {
	for _, answer := range []struct {
		status int
		body   string
	}{
		{200, `{"success":true}`},
		{201, `{"success":true,"errorReason":null}`},
		{200, "\ufeff" + `{"success":true}`},
		{202, ` {"Success" : true, "unknown": [1]} ` + "\n"},
	} {
		server := serve(t, respond(answer.status, answer.body))
		response, err := newClient(t, server.URL, newTokens(), interaction.ClientOptions{}).
			MessagingSession(t.Context(), validRequest())
		require.NoError(t, err, answer.body)
		require.Equal(t, answer.status, response.HTTPStatus)
	}
}

func TestEveryReasonInBothSpellings(t *testing.T) {
	require.Len(t, interaction.Reasons(), 13)
	for _, reason := range append(interaction.Reasons(), "NEXT_YEARS_REASON") {
		for _, spelling := range []string{"errorReason", "ErrorReason"} {
			for _, status := range []int{200, 202} {
				failure := responseError(t, respond(status, `{"success":false,"`+spelling+`":"`+string(reason)+`"}`))
				require.Equal(t, reason, failure.Reason)
				require.Equal(t, status, failure.HTTPStatus)
				require.NoError(t, failure.Err, "a well-formed response")
				require.ErrorContains(t, failure, string(reason))
			}
		}
		require.Equal(t, reason != "NEXT_YEARS_REASON", reason.Known())
	}
	require.False(t, interaction.ErrorReason("").Known())
	require.False(t, interaction.ErrorReason("session_not_found").Known())
}

func TestBothSpellingsAtOnce(t *testing.T) {
	for _, body := range []string{
		`{"success":false,"errorReason":"NO_ACCESS","ErrorReason":null}`,
		`{"success":false,"errorReason":null,"ErrorReason":"NO_ACCESS"}`,
		`{"ErrorReason":"NO_ACCESS","errorReason":"","success":false}`,
	} {
		require.Equal(t, interaction.ReasonNoAccess, responseError(t, respond(200, body)).Reason, body)
	}
}

func TestFailureWithoutAReason(t *testing.T) {
	for _, body := range []string{
		`{"success":false}`, `{"success":false,"errorReason":null}`, `{"success":false,"errorReason":{}}`,
	} {
		failure := responseError(t, respond(200, body))
		require.Empty(t, failure.Reason)
		require.Empty(t, failure.Message)
		require.NoError(t, failure.Err)
		require.ErrorContains(t, failure, "without a reason")
	}
}

func TestMalformedBodyWithStatus200(t *testing.T) {
	for name, body := range map[string]string{
		"empty":             ``,
		"blank":             "\n",
		"cut off":           `{"success":tr`,
		"cut off after":     `{"success":true`,
		"garbage after":     `{"success":true}}`,
		"two values":        `{"success":true}{"success":true}`,
		"HTML":              `<html><body>Maintenance</body></html>`,
		"not an object":     `true`,
		"null":              `null`,
		"empty object":      `{}`,
		"missing success":   `{"errorReason":"END_SESSION_FAILED"}`,
		"success is null":   `{"success":null}`,
		"success is text":   `{"success":"true"}`,
		"success is number": `{"success":1}`,
		"empty list":        `[]`,
		"list of others":    `[1]`,
		"too long":          `{"success":true,"x":"` + strings.Repeat("x", 64<<10) + `"}`,
		"endless blanks":    `{"success":true}` + strings.Repeat(" ", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			failure := responseError(t, respond(200, body))
			require.ErrorIs(t, failure, interaction.ErrMalformedResponse)
			require.Equal(t, 200, failure.HTTPStatus)
			require.False(t, failure.NotSent)
		})
	}
	require.ErrorIs(t, responseError(t, respond(204, "")), interaction.ErrMalformedResponse)
	require.Equal(t, interaction.ReasonEndSessionFailed,
		responseError(t, respond(200, `{"errorReason":"END_SESSION_FAILED"}`)).Reason, "the reason is still returned")
}

func TestTruncatedBody(t *testing.T) {
	url, _ := rawServer(t, "HTTP/1.1 200 OK\r\nContent-Length: 160\r\n\r\n{\"success\":true}")
	failure := callError(t, newClient(t, url, newTokens(), interaction.ClientOptions{}))
	require.ErrorIs(t, failure, interaction.ErrMalformedResponse)
	require.False(t, failure.NotSent)

	url, _ = rawServer(t, "HTTP/1.1 403 Forbidden\r\nContent-Length: 160\r\n\r\n{\"code\":10")
	failure = callError(t, newClient(t, url, &scriptedTokens{first: "a", err: http.ErrServerClosed},
		interaction.ClientOptions{}))
	require.Equal(t, 403, failure.HTTPStatus)
	require.NoError(t, failure.Err, "a cut-off body matters only with a 2xx status")
}

// endless is a body without an end. read counts the bytes that were read.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) { e.read += len(p); return len(p), nil }
func (*endless) Close() error                 { return nil }

func TestEndlessBodyIsNotReadToItsEnd(t *testing.T) {
	for status, most := range map[int]int{101: 0, 200: 128 << 10, 500: 128 << 10} {
		body := &endless{}
		failure := callError(t, newClient(t, "https://example.com", newTokens(), interaction.ClientOptions{
			Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: body}, nil
			}),
		}))
		require.Equal(t, status, failure.HTTPStatus)
		require.LessOrEqual(t, body.read, most)
	}
}

func TestBodiesWithStatus404(t *testing.T) {
	for body, want := range map[string]struct{ code, message string }{
		`{"code":10071,"message":"Session not found"}`:              {"10071", "Session not found"},
		`{"code":"10071","message":"Session not found"}`:            {"10071", "Session not found"},
		`{"code":"SESSION_NOT_FOUND","message":""}`:                 {"SESSION_NOT_FOUND", ""},
		`{"message":"only text"}`:                                   {"", "only text"},
		`{"code":10071}`:                                            {"10071", ""},
		`{"code":10071,"message":{"deep":1}}`:                       {"10071", ""},
		`{"code":null,"message":"x"}`:                               {"", "x"},
		`[{"errorCode":"NOT_FOUND","message":"no such resource"}]`:  {"NOT_FOUND", "no such resource"},
		`{"code":404,"symbol":"NOT_HERE","message":"x"}`:            {"NOT_HERE", "x"},
		`{"code":10071,"symbol":"SESSION_NOT_FOUND"}`:               {"10071", ""},
		`{"code":10071,"message":"two\nlines\tand \u0000 control"}`: {"10071", "two lines and control"},
		`{"code":99999999999999999999999999,"message":"big"}`:       {"99999999999999999999999999", "big"},
		`<html>  <h1>Not\n Found</h1>`:                              {"", `<html> <h1>Not\n Found</h1>`},
		`{"timestamp":"2026-01-01","status":404,"error":"Not Found"}`: {
			"", `{"timestamp":"2026-01-01","status":404,"error":"Not Found"}`,
		},
		``: {"", ""},
	} {
		failure := responseError(t, respond(404, body))
		require.Equal(t, 404, failure.HTTPStatus)
		require.Equal(t, want.code, failure.Code, body)
		require.Equal(t, want.message, failure.Message, body)
		require.NoError(t, failure.Err)
		require.ErrorContains(t, failure, "404")
		require.ErrorContains(t, failure, validRequest().RequestID.String())
	}
	require.Equal(t, interaction.ReasonNoAccess,
		responseError(t, respond(404, `{"success":true,"errorReason":"NO_ACCESS"}`)).Reason,
		"only a 2xx status is a success")
}

func TestLongTextsAreShortened(t *testing.T) {
	body, err := json.Marshal(map[string]any{
		"code": strings.Repeat("C", 5000), "message": strings.Repeat("ü", 5000), "errorReason": strings.Repeat("R", 5000),
	})
	require.NoError(t, err)
	failure := responseError(t, respond(400, string(body)))
	require.Equal(t, 501, utf8.RuneCountInString(failure.Message))
	require.Len(t, failure.Code, 100+len("…"))
	require.Len(t, failure.Reason, 100+len("…"))
	require.True(t, utf8.ValidString(failure.Error()))
	failure = responseError(t, respond(502, strings.Repeat("x", 10<<20)))
	require.Equal(t, 502, failure.HTTPStatus)
	require.Equal(t, 501, utf8.RuneCountInString(failure.Message))
}

func TestRateLimited(t *testing.T) {
	const message = `"Interaction request rate limit exceeded"`
	for name, handler := range map[string]http.HandlerFunc{
		"429":                    respond(429, ``),
		"message under 400":      respond(400, `{"code":500,"message":`+message+`}`),
		"message under 503":      respond(503, `{"message":`+strings.ToUpper(message)+`}`),
		"text":                   respond(500, `Interaction request rate limit exceeded`),
		"message under 200":      respond(200, `{"success":false,"message":`+message+`}`),
		"no success, but reason": respond(200, `{"message":`+message+`}`),
		"REST API": respond(403,
			`[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`),
		"concurrent requests": respond(403,
			`[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded."}]`),
		"name as code":        respond(403, `{"code":"REQUEST_LIMIT_EXCEEDED","message":"no"}`),
		"name as errorCode":   respond(403, `{"errorCode":"REQUEST_LIMIT_EXCEEDED"}`),
		"name as symbol":      respond(403, `{"code":403,"symbol":"REQUEST_LIMIT_EXCEEDED"}`),
		"name as error":       respond(403, `{"error":"REQUEST_LIMIT_EXCEEDED","message":"no"}`),
		"name as errorReason": respond(200, `{"success":false,"errorReason":"REQUEST_LIMIT_EXCEEDED"}`),
		"message alone":       respond(403, `{"message":"TotalRequests Limit exceeded."}`),
		"XML":                 respond(403, `<Errors><Error><errorCode>REQUEST_LIMIT_EXCEEDED</errorCode></Error></Errors>`),
		"with a mark":         respond(403, "\ufeff"+`[{"errorCode":"REQUEST_LIMIT_EXCEEDED"}]`),
		"compressed":          compressed(403, `[{"errorCode":"REQUEST_LIMIT_EXCEEDED"}]`),
		"too many requests":   respond(403, `{"code":"TOO_MANY_REQUESTS"}`),
	} {
		failure := responseError(t, handler)
		require.True(t, failure.RateLimited(), name)
		require.Equal(t, 1, failure.Requests, "%s: another token does not help", name)
	}
	for _, body := range []string{
		`{"message":"unavailable"}`, `{"code":"STORAGE_LIMIT_EXCEEDED","message":"the limit of records is exceeded"}`,
	} {
		require.False(t, responseError(t, respond(503, body)).RateLimited(), body)
	}
}

// compressed answers as a proxy that compresses without being asked.
func compressed(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		zipped := gzip.NewWriter(w)
		_, _ = zipped.Write([]byte(body))
		_ = zipped.Close()
	}
}

func TestCompressedAnswer(t *testing.T) {
	server := serve(t, compressed(200, `{"success":true}`))
	_, err := newClient(t, server.URL, newTokens(), interaction.ClientOptions{}).
		MessagingSession(t.Context(), validRequest())
	require.NoError(t, err)

	large := responseError(t, compressed(200, `{"success":true,"x":"`+strings.Repeat("x", 8<<20)+`"}`))
	require.ErrorContains(t, large, "longer than")
	for _, body := range []string{"no gzip", ""} {
		failure := responseError(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			respond(200, body)(w, r)
		})
		require.ErrorIs(t, failure, interaction.ErrMalformedResponse, body)
	}
}

func TestRetryAfter(t *testing.T) {
	after := func(value string) time.Duration {
		return responseError(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", value)
			respond(503, ``)(w, r)
		}).RetryAfter
	}
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"7":                             7 * time.Second,
		" 7 ":                           7 * time.Second,
		"3599":                          3599 * time.Second,
		"3600":                          time.Hour,
		"86400":                         time.Hour,
		"99999999999999999999999999":    time.Hour,
		"-1":                            0,
		"1.5":                           0,
		"soon":                          0,
		"Wed, 21 Oct 2015 07:28:00 GMT": 0,
		"Wed, 21 Oct 2999 07:28:00 GMT": time.Hour,
	} {
		require.Equal(t, want, after(value), strconv.Quote(value))
	}
	inAMinute := after(time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
	require.InDelta(t, time.Minute, inAMinute, float64(5*time.Second))
}

func TestRetryAfterWithStatus200(t *testing.T) {
	failure := responseError(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3")
		respond(200, `{"success":false,"errorReason":"CONVERSATION_PROCESSING_ABORTED"}`)(w, r)
	})
	require.Equal(t, 3*time.Second, failure.RetryAfter)
	require.ErrorContains(t, failure, "retry after 3s")
}
