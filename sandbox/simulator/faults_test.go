package simulator_test

import (
	"context"
	"io"
	"math"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/sandbox/simulator"
)

func TestFaultAnswers(t *testing.T) {
	const rateLimited = `{"code":429,"message":"Interaction request rate limit exceeded"}`
	const personalData = "(endUserClientId " + endUser + ")"
	for name, test := range map[string]struct {
		answer     simulator.Answer
		status     int
		body       string
		retryAfter string
	}{
		"errorReason": {
			simulator.Answer{ErrorReason: "INTERNAL_ERROR"},
			200, `{"success":false,"errorReason":"INTERNAL_ERROR"}`, "",
		},
		"new errorReason": {simulator.Answer{ErrorReason: "X", Status: 202}, 202, `{"success":false,"errorReason":"X"}`, ""},
		"status": {
			simulator.Answer{Status: 503},
			503, `{"code":503,"message":"Service Unavailable ` + personalData + `"}`, "",
		},
		"code": {
			simulator.Answer{Code: 10105},
			404, `{"code":10105,"message":"End user ` + endUser + ` was not found"}`, "",
		},
		"unknown code": {
			simulator.Answer{Code: 10035},
			400, `{"code":10035,"message":"Bad Request ` + personalData + `"}`, "",
		},
		"ambiguous code": {
			simulator.Answer{Code: 10102},
			400, `{"code":10102,"message":"Bad Request ` + personalData + `"}`, "",
		},
		"migration": {
			simulator.Answer{Code: 10019},
			503, `{"code":10019,"message":"Service Unavailable ` + personalData + `"}`, "",
		},
		"symbol": {simulator.Answer{Status: 403, Symbol: "X", Message: "m"}, 403, `{"code":"X","message":"m"}`, ""},
		"all": {
			simulator.Answer{Status: 418, Code: 1, Symbol: "X", Message: "{conversationIdentifier}"},
			418, `{"code":1,"message":"conv-1"}`, "",
		},
		"rate limit": {simulator.Answer{Status: 429}, 429, rateLimited, ""},
		"in seconds": {
			simulator.Answer{Status: 429, RetryAfter: simulator.Duration(1500 * time.Millisecond)},
			429, rateLimited, "2",
		},
		"as a date": {
			simulator.Answer{Status: 429, RetryAfter: simulator.Duration(2 * time.Second), RetryAfterDate: true},
			429, rateLimited, "Wed, 02 Jan 2030 03:04:07 GMT",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.session()
			id := h.inject(simulator.Fault{Answer: &test.answer, Times: 1})
			r := h.call(nil)
			require.Equal(t, test.status, r.status)
			require.JSONEq(t, test.body, r.raw)
			require.Equal(t, test.retryAfter, r.header.Get("Retry-After"))
			e := h.last()
			require.Equal(t, []any{id, test.status, test.answer.ErrorReason, false},
				[]any{e.FaultID, e.Status, e.ErrorReason, e.Success})
			require.Equal(t, simulator.StatusActive, h.status(), "the request was not processed")
			require.Equal(t, true, h.call(nil).body["success"], "the fault acts once")
		})
	}
	t.Run("token", func(t *testing.T) {
		h := newHarness(t)
		answer := simulator.Answer{Status: 400, Symbol: "invalid_app_access", Message: "m"}
		h.inject(simulator.Fault{Endpoint: simulator.TokenEndpoint, Times: 1, Answer: &answer})
		r := h.tokenCall(bearerForm(h.assertion(nil)))
		require.Equal(t, 400, r.status)
		require.JSONEq(t, `{"error":"invalid_app_access","error_description":"m"}`, r.raw)
	})
	t.Run("errorReason needs an authorized request", func(t *testing.T) {
		h := newHarness(t)
		h.session()
		h.inject(simulator.Fault{Answer: &simulator.Answer{ErrorReason: "X"}})
		h.ExpireTokens()
		require.Equal(t, http.StatusUnauthorized, h.call(nil).status)
		h.token = h.newTokenA()
		require.Equal(t, "X", h.call(nil).body["errorReason"])
	})
}

func TestFaultBreaksResponse(t *testing.T) {
	for _, processed := range []bool{false, true} {
		wantStatus := map[bool]simulator.Status{false: simulator.StatusActive, true: simulator.StatusEnded}[processed]
		for breakage, check := range map[simulator.Break]func(*testing.T, response, error){
			simulator.Reset: func(t *testing.T, _ response, err error) { require.ErrorIs(t, err, syscall.ECONNRESET) },
			simulator.Truncate: func(t *testing.T, r response, err error) {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Equal(t, http.StatusOK, r.status)
				require.NotEmpty(t, r.raw)
			},
			simulator.NotJSON: func(t *testing.T, r response, err error) {
				require.NoError(t, err)
				require.Contains(t, r.header.Get("Content-Type"), "text/html")
				require.Contains(t, r.raw, "<html>")
			},
			simulator.Huge: func(t *testing.T, r response, err error) {
				require.NoError(t, err)
				require.Equal(t, true, r.body["success"])
				require.Greater(t, len(r.raw), 4<<20)
			},
		} {
			t.Run(string(breakage), func(t *testing.T) {
				h := newHarness(t)
				h.session()
				h.inject(simulator.Fault{Break: breakage, Process: processed, Times: 1})
				r, err := h.try(t.Context(), http.MethodPost, messagingSessionPath, h.headers(nil), fields(nil))
				check(t, r, err)
				require.Equal(t, wantStatus, h.status())
				require.Equal(t, string(breakage), h.last().Lost)
				require.Equal(t, r.status, h.last().Status)
				require.Equal(t, breakage == simulator.Huge, h.last().Success)
				if processed {
					require.Equal(t, simulator.StatusEnded, h.last().SessionAfter)
				}
			})
		}
	}
	t.Run("with an Answer", func(t *testing.T) {
		h := newHarness(t)
		h.inject(simulator.Fault{Break: simulator.NotJSON, Answer: &simulator.Answer{Status: 502}})
		r := h.call(nil)
		require.Equal(t, 502, r.status)
		require.Contains(t, r.raw, "<html>")
	})
	t.Run("processed, but answered with an error", func(t *testing.T) {
		h := newHarness(t)
		h.session()
		h.inject(simulator.Fault{Process: true, Answer: &simulator.Answer{Code: 10094}})
		require.Equal(t, http.StatusGatewayTimeout, h.call(nil).status)
		require.Equal(t, simulator.StatusEnded, h.status())
	})
}

func TestFaultDelaysResponse(t *testing.T) {
	const delay = 30 * time.Millisecond
	t.Run("then processes the request", func(t *testing.T) {
		h := newHarness(t)
		h.session()
		h.inject(simulator.Fault{Latency: simulator.Duration(delay)})
		start := time.Now()
		require.Equal(t, true, h.call(nil).body["success"])
		require.GreaterOrEqual(t, time.Since(start), delay)
	})
	for _, processed := range []bool{false, true} {
		t.Run("until the client closes the connection", func(t *testing.T) {
			h := newHarness(t)
			h.session()
			h.inject(simulator.Fault{Latency: simulator.Duration(time.Minute), Process: processed})
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() {
				_, err := h.try(ctx, http.MethodPost, messagingSessionPath, h.headers(nil), fields(nil))
				failed <- err
			}()
			require.NoError(t, h.Wait(t.Context(), func(e []simulator.Entry) bool { return len(e) == 1 }))
			require.False(t, h.last().Answered(), "in flight")
			cancel()
			require.ErrorIs(t, <-failed, context.Canceled)
			require.NoError(t, h.Wait(t.Context(), func(e []simulator.Entry) bool { return e[0].Answered() }))
			require.Equal(t, simulator.LostClientGone, h.last().Lost)
			require.Equal(t, processed, h.status() == simulator.StatusEnded)
		})
	}
}

func TestFaultMatches(t *testing.T) {
	answer := &simulator.Answer{Status: 503}
	all := simulator.Fault{
		Endpoint: simulator.MessagingSessionEndpoint, OrgID: orgA, ConversationIdentifier: "conv-1", Operation: simulator.End,
	}
	allButOne := all
	allButOne.Operation = simulator.Inactivate
	for name, test := range map[string]struct {
		fault simulator.Fault
		hits  bool
	}{
		"anything":           {simulator.Fault{}, true},
		"endpoint":           {simulator.Fault{Endpoint: simulator.MessagingSessionEndpoint}, true},
		"other endpoint":     {simulator.Fault{Endpoint: simulator.ConversationEndpoint}, false},
		"token endpoint":     {simulator.Fault{Endpoint: simulator.TokenEndpoint}, false},
		"org":                {simulator.Fault{OrgID: orgA}, true},
		"other org":          {simulator.Fault{OrgID: orgB}, false},
		"conversation":       {simulator.Fault{ConversationIdentifier: "conv-1"}, true},
		"other conversation": {simulator.Fault{ConversationIdentifier: "conv-2"}, false},
		"operation":          {simulator.Fault{Operation: simulator.End}, true},
		"other operation":    {simulator.Fault{Operation: simulator.Inactivate}, false},
		"all of them":        {all, true},
		"all but one":        {allButOne, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.session()
			test.fault.Answer = answer
			h.inject(test.fault)
			require.Equal(t, test.hits, h.call(nil).status == 503)
		})
	}
	t.Run("org of a token request", func(t *testing.T) {
		h := newHarness(t)
		h.inject(simulator.Fault{Endpoint: simulator.TokenEndpoint, OrgID: orgB, Answer: answer})
		require.NotEmpty(t, h.newTokenA())
		require.Equal(t, 503, h.tokenCall(clientForm("b-key", secretB)).status)
	})
}

func TestFaultEnds(t *testing.T) {
	answer := &simulator.Answer{Status: 503}
	hit := func(h *harness) bool { return h.call(nil).status == 503 }
	t.Run("after a number of requests", func(t *testing.T) {
		h := newHarness(t)
		h.inject(simulator.Fault{Answer: answer, Times: 2})
		require.Equal(t, []bool{true, true, false}, []bool{hit(h), hit(h), hit(h)})
		require.Empty(t, h.Faults())
	})
	t.Run("after a time", func(t *testing.T) {
		for _, fault := range []simulator.Fault{
			{Answer: answer, For: simulator.Duration(time.Minute)},
			{Answer: answer, Until: time.Date(2030, 1, 2, 3, 5, 5, 0, time.UTC)},
		} {
			h := newHarness(t)
			h.inject(fault)
			h.advance(time.Minute - 1)
			require.True(t, hit(h))
			h.advance(1)
			require.False(t, hit(h))
		}
	})
	t.Run("when removed, then the next fault acts", func(t *testing.T) {
		h := newHarness(t)
		first := h.inject(simulator.Fault{Answer: answer})
		second := h.inject(simulator.Fault{Answer: &simulator.Answer{Status: 418}})
		require.True(t, hit(h))
		require.Equal(t, first, h.Faults()[0].ID)
		require.Equal(t, 1, h.Faults()[0].Acted)
		require.True(t, h.RemoveFault(first))
		require.False(t, h.RemoveFault(first))
		require.Equal(t, 418, h.call(nil).status)
		require.Equal(t, second, h.last().FaultID)
		h.RemoveAllFaults()
		require.Equal(t, 200, h.call(nil).status)
	})
	t.Run("a share is repeatable", func(t *testing.T) {
		run := func() (hits []int) {
			h := newHarness(t, func(c *simulator.Config) { c.Seed = 7 })
			h.inject(simulator.Fault{Answer: answer, Share: 0.25, Times: 20})
			for i := range 200 {
				if hit(h) {
					hits = append(hits, i)
				}
			}
			return hits
		}
		hits := run()
		require.Len(t, hits, 20)
		require.Greater(t, hits[19], 40)
		require.Equal(t, hits, run())
	})
}

func TestInvalidFaultIsRejected(t *testing.T) {
	ok := &simulator.Answer{Status: 500}
	answer := func(a simulator.Answer) simulator.Fault { return simulator.Fault{Answer: &a} }
	for field, faults := range map[string][]simulator.Fault{
		"path:":                   {{Endpoint: "other", Answer: ok}},
		"orgId:":                  {{OrgID: "x", Answer: ok}},
		"operation:":              {{Operation: "end", Answer: ok}, {Operation: "End", Endpoint: "token", Answer: ok}},
		"conversationIdentifier:": {{ConversationIdentifier: "x", Endpoint: "token", Answer: ok}},
		"times:":                  {{Times: -1, Answer: ok}},
		"for:":                    {{For: -1, Answer: ok}},
		"until:":                  {{For: 1, Until: time.Now(), Answer: ok}},
		"share:":                  {{Share: 1.1, Answer: ok}, {Share: -0.1, Answer: ok}, {Share: math.NaN(), Answer: ok}},
		"latency:":                {{Latency: -1}, {Latency: simulator.Duration(time.Hour)}},
		"break:":                  {{Break: "other"}},
		"revokeToken:":            {{RevokeToken: true, Endpoint: "token"}, {RevokeToken: true, Answer: ok}},
		"answer:":                 {{}, {Process: true}},
		"answer.errorReason:": {
			answer(simulator.Answer{}), answer(simulator.Answer{ErrorReason: "X", Code: 1}),
			{Endpoint: "token", Answer: &simulator.Answer{ErrorReason: "X"}},
		},
		"answer.status:": {
			answer(simulator.Answer{Status: 99}), answer(simulator.Answer{Status: 600}),
			answer(simulator.Answer{ErrorReason: "X", Status: 400}), answer(simulator.Answer{Message: "x"}),
		},
		"answer.code:":           {answer(simulator.Answer{Code: -1})},
		"answer.retryAfter:":     {answer(simulator.Answer{Status: 429, RetryAfter: -1})},
		"answer.retryAfterDate:": {answer(simulator.Answer{Status: 429, RetryAfterDate: true})},
	} {
		h := newHarness(t)
		for _, fault := range faults {
			_, err := h.Inject(fault)
			require.ErrorIs(t, err, simulator.ErrInvalid, field)
			require.ErrorContains(t, err, "fault: "+field)
		}
		require.Empty(t, h.Faults())
	}
	h := newHarness(t)
	require.Equal(t, "mine", h.inject(simulator.Fault{ID: "mine", Answer: ok}))
	_, err := h.Inject(simulator.Fault{ID: "mine", Answer: ok})
	require.ErrorContains(t, err, "id:")
}
