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
	const leaks = "(endUserClientId " + endUser + ")"
	for name, test := range map[string]struct {
		answer     simulator.Answer
		status     int
		body       string
		retryAfter string
	}{
		"reason":           {simulator.Answer{ErrorReason: "INTERNAL_ERROR"}, 200, `{"success":false,"errorReason":"INTERNAL_ERROR"}`, ""},
		"new reason, 202":  {simulator.Answer{ErrorReason: "X", Status: 202}, 202, `{"success":false,"errorReason":"X"}`, ""},
		"status":           {simulator.Answer{Status: 503}, 503, `{"code":503,"message":"Service Unavailable ` + leaks + `"}`, ""},
		"code":             {simulator.Answer{Code: 10105}, 404, `{"code":10105,"message":"End user ` + endUser + ` was not found"}`, ""},
		"code we know not": {simulator.Answer{Code: 10025}, 400, `{"code":10025,"message":"Bad Request ` + leaks + `"}`, ""},
		"code of many":     {simulator.Answer{Code: 10102}, 400, `{"code":10102,"message":"Bad Request ` + leaks + `"}`, ""},
		"migration":        {simulator.Answer{Code: 10019}, 503, `{"code":10019,"message":"Service Unavailable ` + leaks + `"}`, ""},
		"symbol":           {simulator.Answer{Status: 403, Symbol: "X", Message: "m"}, 403, `{"code":"X","message":"m"}`, ""},
		"all":              {simulator.Answer{Status: 418, Code: 1, Symbol: "X", Message: "{conversationIdentifier}"}, 418, `{"code":1,"message":"conv-1"}`, ""},
		"rate limit":       {simulator.Answer{Status: 429}, 429, `{"code":429,"message":"Interaction request rate limit exceeded"}`, ""},
		"in seconds":       {simulator.Answer{Status: 429, RetryAfter: simulator.Duration(1500 * time.Millisecond)}, 429, `{"code":429,"message":"Interaction request rate limit exceeded"}`, "2"},
		"as a date":        {simulator.Answer{Status: 429, RetryAfter: simulator.Duration(2 * time.Second), RetryAfterDate: true}, 429, `{"code":429,"message":"Interaction request rate limit exceeded"}`, "Wed, 02 Jan 2030 03:04:07 GMT"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.session()
			id := l.inject(simulator.Fault{Answer: &test.answer, Times: 1})
			r := l.call(nil)
			require.Equal(t, test.status, r.status)
			require.JSONEq(t, test.body, r.raw)
			require.Equal(t, test.retryAfter, r.header.Get("Retry-After"))
			e := l.last()
			require.Equal(t, []any{id, test.status, test.answer.ErrorReason, false}, []any{e.FaultID, e.Status, e.ErrorReason, e.Success})
			require.Equal(t, simulator.StatusActive, l.status(), "it was not carried out")
			require.Equal(t, true, l.call(nil).body["success"], "once")
		})
	}
	t.Run("token", func(t *testing.T) {
		l := newLab(t)
		l.inject(simulator.Fault{Path: simulator.TokenPath, Times: 1, Answer: &simulator.Answer{Status: 400, Symbol: "invalid_app_access", Message: "m"}})
		r := l.tokenCall(bearerForm(l.assertion(nil)))
		require.Equal(t, 400, r.status)
		require.JSONEq(t, `{"error":"invalid_app_access","error_description":"m"}`, r.raw)
	})
	t.Run("a reason waits for an authorized request", func(t *testing.T) {
		l := newLab(t)
		l.session()
		l.inject(simulator.Fault{Answer: &simulator.Answer{ErrorReason: "X"}})
		l.ExpireTokens()
		require.Equal(t, http.StatusUnauthorized, l.call(nil).status)
		l.token = l.grantA()
		require.Equal(t, "X", l.call(nil).body["errorReason"])
	})
}

func TestFaultBreaksTheAnswer(t *testing.T) {
	for _, processed := range []bool{false, true} {
		wantStatus := map[bool]simulator.Status{false: simulator.StatusActive, true: simulator.StatusEnded}[processed]
		for spoil, check := range map[simulator.Break]func(*testing.T, response, error){
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
			t.Run(string(spoil), func(t *testing.T) {
				l := newLab(t)
				l.session()
				l.inject(simulator.Fault{Break: spoil, Process: processed, Times: 1})
				r, err := l.try(t.Context(), http.MethodPost, apiPath, l.headers(nil), fields(nil))
				check(t, r, err)
				require.Equal(t, wantStatus, l.status())
				require.Equal(t, string(spoil), l.last().Lost)
				require.Equal(t, r.status, l.last().Status)
				require.Equal(t, spoil == simulator.Huge, l.last().Success)
				if processed {
					require.Equal(t, simulator.StatusEnded, l.last().SessionAfter)
				}
			})
		}
	}
	t.Run("with a status of its own", func(t *testing.T) {
		l := newLab(t)
		l.inject(simulator.Fault{Break: simulator.NotJSON, Answer: &simulator.Answer{Status: 502}})
		r := l.call(nil)
		require.Equal(t, 502, r.status)
		require.Contains(t, r.raw, "<html>")
	})
	t.Run("applied, but told otherwise", func(t *testing.T) {
		l := newLab(t)
		l.session()
		l.inject(simulator.Fault{Process: true, Answer: &simulator.Answer{Code: 10094}})
		require.Equal(t, http.StatusGatewayTimeout, l.call(nil).status)
		require.Equal(t, simulator.StatusEnded, l.status())
	})
}

func TestFaultDelays(t *testing.T) {
	const delay = 30 * time.Millisecond
	t.Run("then goes on", func(t *testing.T) {
		l := newLab(t)
		l.session()
		l.inject(simulator.Fault{Latency: simulator.Duration(delay)})
		start := time.Now()
		require.Equal(t, true, l.call(nil).body["success"])
		require.GreaterOrEqual(t, time.Since(start), delay)
	})
	for _, processed := range []bool{false, true} {
		t.Run("until the client leaves", func(t *testing.T) {
			l := newLab(t)
			l.session()
			l.inject(simulator.Fault{Latency: simulator.Duration(time.Minute), Process: processed})
			ctx, leave := context.WithCancel(t.Context())
			left := make(chan error, 1)
			go func() {
				_, err := l.try(ctx, http.MethodPost, apiPath, l.headers(nil), fields(nil))
				left <- err
			}()
			require.NoError(t, l.Wait(t.Context(), func(e []simulator.Entry) bool { return len(e) == 1 }))
			require.False(t, l.last().Answered(), "in flight")
			leave()
			require.ErrorIs(t, <-left, context.Canceled)
			require.NoError(t, l.Wait(t.Context(), func(e []simulator.Entry) bool { return e[0].Answered() }))
			require.Equal(t, simulator.LostClientGone, l.last().Lost)
			require.Equal(t, processed, l.status() == simulator.StatusEnded)
		})
	}
}

func TestFaultMatches(t *testing.T) {
	answer := &simulator.Answer{Status: 503}
	for name, test := range map[string]struct {
		fault simulator.Fault
		hits  bool
	}{
		"anything":           {simulator.Fault{}, true},
		"path":               {simulator.Fault{Path: simulator.MessagingSessionPath}, true},
		"other path":         {simulator.Fault{Path: simulator.ConversationPath}, false},
		"token path":         {simulator.Fault{Path: simulator.TokenPath}, false},
		"org":                {simulator.Fault{OrgID: orgA}, true},
		"other org":          {simulator.Fault{OrgID: orgB}, false},
		"conversation":       {simulator.Fault{ConversationIdentifier: "conv-1"}, true},
		"other conversation": {simulator.Fault{ConversationIdentifier: "conv-2"}, false},
		"operation":          {simulator.Fault{Operation: simulator.End}, true},
		"other operation":    {simulator.Fault{Operation: simulator.Inactivate}, false},
		"all of them":        {simulator.Fault{Path: simulator.MessagingSessionPath, OrgID: orgA, ConversationIdentifier: "conv-1", Operation: simulator.End}, true},
		"all but one":        {simulator.Fault{Path: simulator.MessagingSessionPath, OrgID: orgA, ConversationIdentifier: "conv-1", Operation: simulator.Inactivate}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.session()
			test.fault.Answer = answer
			l.inject(test.fault)
			require.Equal(t, test.hits, l.call(nil).status == 503)
		})
	}
	t.Run("org of a token request", func(t *testing.T) {
		l := newLab(t)
		l.inject(simulator.Fault{Path: simulator.TokenPath, OrgID: orgB, Answer: answer})
		require.NotEmpty(t, l.grantA())
		require.Equal(t, 503, l.tokenCall(map[string][]string{"grant_type": {"client_credentials"}, "client_id": {"b-key"}, "client_secret": {secretB}}).status)
	})
}

func TestFaultEnds(t *testing.T) {
	answer := &simulator.Answer{Status: 503}
	hit := func(l *lab) bool { return l.call(nil).status == 503 }
	t.Run("after so many times", func(t *testing.T) {
		l := newLab(t)
		l.inject(simulator.Fault{Answer: answer, Times: 2})
		require.Equal(t, []bool{true, true, false}, []bool{hit(l), hit(l), hit(l)})
		require.Empty(t, l.Faults())
	})
	t.Run("after a time", func(t *testing.T) {
		for _, fault := range []simulator.Fault{
			{Answer: answer, For: simulator.Duration(time.Minute)},
			{Answer: answer, Until: time.Date(2030, 1, 2, 3, 5, 5, 0, time.UTC)},
		} {
			l := newLab(t)
			l.inject(fault)
			l.advance(time.Minute - 1)
			require.True(t, hit(l))
			l.advance(1)
			require.False(t, hit(l))
		}
	})
	t.Run("when removed, and the next takes over", func(t *testing.T) {
		l := newLab(t)
		first := l.inject(simulator.Fault{Answer: answer})
		second := l.inject(simulator.Fault{Answer: &simulator.Answer{Status: 418}})
		require.True(t, hit(l))
		require.Equal(t, first, l.Faults()[0].ID)
		require.Equal(t, 1, l.Faults()[0].Acted)
		require.True(t, l.Remove(first))
		require.False(t, l.Remove(first))
		require.Equal(t, 418, l.call(nil).status)
		require.Equal(t, second, l.last().FaultID)
		l.RemoveAll()
		require.Equal(t, 200, l.call(nil).status)
	})
	t.Run("on a share, repeatably, so many times", func(t *testing.T) {
		run := func() (hits []int) {
			l := newLab(t, func(c *simulator.Config) { c.Seed = 7 })
			l.inject(simulator.Fault{Answer: answer, Share: 0.25, Times: 20})
			for i := range 200 {
				if hit(l) {
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

func TestFaultIsRefused(t *testing.T) {
	ok := &simulator.Answer{Status: 500}
	answer := func(a simulator.Answer) simulator.Fault { return simulator.Fault{Answer: &a} }
	for field, faults := range map[string][]simulator.Fault{
		"path:":                   {{Path: "other", Answer: ok}},
		"orgId:":                  {{OrgID: "x", Answer: ok}},
		"operation:":              {{Operation: "end", Answer: ok}, {Operation: "End", Path: "token", Answer: ok}},
		"conversationIdentifier:": {{ConversationIdentifier: "x", Path: "token", Answer: ok}},
		"times:":                  {{Times: -1, Answer: ok}},
		"for:":                    {{For: -1, Answer: ok}},
		"until:":                  {{For: 1, Until: time.Now(), Answer: ok}},
		"share:":                  {{Share: 1.1, Answer: ok}, {Share: -0.1, Answer: ok}, {Share: math.NaN(), Answer: ok}},
		"latency:":                {{Latency: -1}, {Latency: simulator.Duration(time.Hour)}},
		"break:":                  {{Break: "other"}},
		"revokeToken:":            {{RevokeToken: true, Path: "token"}, {RevokeToken: true, Answer: ok}},
		"answer:":                 {{}, {Process: true}},
		"answer.errorReason:":     {answer(simulator.Answer{}), {Path: "token", Answer: &simulator.Answer{ErrorReason: "X"}}, answer(simulator.Answer{ErrorReason: "X", Code: 1})},
		"answer.status:":          {answer(simulator.Answer{Status: 99}), answer(simulator.Answer{Status: 600}), answer(simulator.Answer{ErrorReason: "X", Status: 400}), answer(simulator.Answer{Message: "x"})},
		"answer.code:":            {answer(simulator.Answer{Code: -1})},
		"answer.retryAfter:":      {answer(simulator.Answer{Status: 429, RetryAfter: -1})},
		"answer.retryAfterDate:":  {answer(simulator.Answer{Status: 429, RetryAfterDate: true})},
	} {
		l := newLab(t)
		for _, fault := range faults {
			_, err := l.Inject(fault)
			require.ErrorIs(t, err, simulator.ErrInvalid, field)
			require.ErrorContains(t, err, "fault: "+field)
		}
		require.Empty(t, l.Faults())
	}
	l := newLab(t)
	require.Equal(t, "mine", l.inject(simulator.Fault{ID: "mine", Answer: ok}))
	_, err := l.Inject(simulator.Fault{ID: "mine", Answer: ok})
	require.ErrorContains(t, err, "id:")
}
