package simulator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"sessionkeeper/sandbox/simulator"
)

func TestOperationIsApplied(t *testing.T) {
	h := newHarness(t)
	s := h.session()

	r := h.call(m{"operation": "Inactivate", "sessionId": s.ID})
	require.Equal(t, http.StatusOK, r.status)
	require.JSONEq(t, `{"success":true}`, r.raw)
	require.Equal(t, simulator.StatusInactive, h.status())

	require.Equal(t, true, h.call(m{"operation": "Inactivate", "sessionId": s.ID}).body["success"], "Inactivate again")
	require.Equal(t, true, h.call(m{"operationBy": ""}).body["success"], "End without sessionId and operationBy")
	require.Equal(t, simulator.StatusEnded, h.status())
	require.JSONEq(t, `{"success":false,"errorReason":"SESSION_NOT_FOUND"}`, h.call(nil).raw, "End again")
}

func TestAdoptUnknown(t *testing.T) {
	unknown := m{"conversationIdentifier": "never-created", "sessionId": "0Mw000000000099AAA", "operation": "End"}

	require.JSONEq(t, `{"success":false,"errorReason":"ACTIVE_CONVERSATION_NOT_FOUND"}`, newHarness(t).call(unknown).raw,
		"without AdoptUnknown")

	h := newHarness(t, withBehaviour(simulator.Behaviour{AdoptUnknown: true}))
	require.JSONEq(t, `{"success":true}`, h.call(unknown).raw)
	require.JSONEq(t, `{"success":false,"errorReason":"SESSION_NOT_FOUND"}`, h.call(unknown).raw, "End again")
}

func TestMalformedRequestIsRejected(t *testing.T) {
	h := newHarness(t)
	tokenA, tokenB := h.token, h.newTokenB()
	h.token = tokenA
	s := h.session()
	long := strings.Repeat("ü", 241)
	number := strings.Replace(fields(m{"sessionId": ""}), "{", `{"sessionId":1,`, 1)
	null := strings.Replace(fields(nil), "{", `{"sessionId":null,`, 1)
	twice := strings.Replace(fields(nil), "{", `{"operation":"End",`, 1)
	tooLarge := fields(m{"endUserClientId": strings.Repeat("x", 70_000)})

	type rejected struct{ status, code int }
	invalidToken := rejected{http.StatusUnauthorized, 10004}
	badRequest := rejected{http.StatusBadRequest, 10102}
	invalidField := rejected{http.StatusBadRequest, 10103}
	noSessionID := rejected{http.StatusBadRequest, 10106}
	unsupportedMedia := rejected{http.StatusUnsupportedMediaType, 415}

	for name, test := range map[string]struct {
		method  string
		headers m
		body    string
		want    rejected
		rule    string
	}{
		"GET":                  {method: http.MethodGet, want: rejected{405, 405}, rule: "method"},
		"no token":             {headers: m{"Authorization": ""}, want: invalidToken, rule: "Authorization"},
		"Basic":                {headers: m{"Authorization": "Basic abc"}, want: invalidToken, rule: "Authorization"},
		"empty token":          {headers: m{"Authorization": "Bearer "}, want: invalidToken, rule: "Authorization"},
		"no OrgId":             {headers: m{"OrgId": ""}, want: badRequest, rule: "OrgId"},
		"18 characters":        {headers: m{"OrgId": orgA + "AAA"}, want: badRequest, rule: "OrgId"},
		"token of another org": {headers: m{"Authorization": "Bearer " + tokenB}, want: rejected{403, 10003}, rule: "OrgId"},
		"no RequestId":         {headers: m{"RequestId": ""}, want: badRequest, rule: "RequestId"},
		"RequestId no UUID":    {headers: m{"RequestId": "1"}, want: badRequest, rule: "RequestId"},
		"RequestId in braces":  {headers: m{"RequestId": "{" + uuid.NewString() + "}"}, want: badRequest, rule: "RequestId"},
		"no context":           {headers: m{"AuthorizationContext": ""}, want: badRequest, rule: "AuthorizationContext:"},
		"context type": {
			headers: m{"AuthorizationContextType": "x"},
			want:    badRequest, rule: "AuthorizationContextType",
		},
		"no Content-Type":     {headers: m{"Content-Type": ""}, want: unsupportedMedia, rule: "Content-Type"},
		"text":                {headers: m{"Content-Type": "text/plain"}, want: unsupportedMedia, rule: "Content-Type"},
		"empty body":          {body: " ", want: badRequest, rule: "body: not a JSON object"},
		"array":               {body: "[]", want: badRequest, rule: "body: not a JSON object"},
		"cut off":             {body: fields(nil)[:40], want: badRequest, rule: "body: malformed"},
		"two values":          {body: fields(nil) + "{}", want: badRequest, rule: "more than one"},
		"not UTF-8":           {body: "{\"\xff\":\"\"}", want: badRequest, rule: "UTF-8"},
		"field given twice":   {body: twice, want: badRequest, rule: "operation given twice"},
		"number":              {body: number, want: badRequest, rule: "sessionId is not a string"},
		"null":                {body: null, want: badRequest, rule: "sessionId is not a string"},
		"unknown field":       {body: fields(m{"reason": "x"}), want: badRequest, rule: "reason: unknown"},
		"field in other case": {body: fields(m{"sessionID": s.ID}), want: badRequest, rule: "sessionID: unknown"},
		"no channel address": {
			body: fields(m{"channelAddressIdentifier": ""}),
			want: badRequest, rule: "channelAddressIdentifier",
		},
		"no end user": {body: fields(m{"endUserClientId": ""}), want: badRequest, rule: "endUserClientId"},
		"no conversation": {
			body: fields(m{"conversationIdentifier": ""}),
			want: badRequest, rule: "conversationIdentifier",
		},
		"no operation": {body: fields(m{"operation": ""}), want: badRequest, rule: "operation"},
		"long channel address": {
			body: fields(m{"channelAddressIdentifier": long}),
			want: invalidField, rule: "channelAddressIdentifier: longer",
		},
		"long end user": {
			body: fields(m{"endUserClientId": long}),
			want: invalidField, rule: "endUserClientId: longer",
		},
		"other operation":    {body: fields(m{"operation": "end"}), want: invalidField, rule: "operation:"},
		"other operationBy":  {body: fields(m{"operationBy": "Agent"}), want: invalidField, rule: "operationBy:"},
		"Inactivate, no id":  {body: fields(m{"operation": "Inactivate"}), want: noSessionID, rule: "sessionId"},
		"too large":          {body: tooLarge, want: rejected{413, 413}, rule: "body: too large"},
		"first rule decides": {headers: m{"OrgId": "x"}, body: "[]", want: badRequest, rule: "body: not a JSON object"},
		"charset":            {headers: m{"Content-Type": "application/json; charset=utf-8"}, want: rejected{status: 200}},
		"240 characters": {
			body: fields(m{"endUserClientId": long[2:]}), want: rejected{status: 200},
			rule: "conversationIdentifier: belongs to another",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.method == "" {
				test.method = http.MethodPost
			}
			if test.body == "" {
				test.body = fields(nil)
			}
			require.NoError(t, h.SetStatus(orgA, "conv-1", simulator.StatusActive))
			r := h.do(test.method, messagingSessionPath, h.headers(test.headers), test.body)
			require.Equal(t, test.want.status, r.status, r.raw)
			e := h.last()
			require.Contains(t, strings.Join(e.Violations, "\n"), test.rule)
			require.Equal(t, test.rule == "", len(e.Violations) == 0)
			require.Equal(t, test.want, rejected{e.Status, e.Code})
			if test.want.status == http.StatusOK {
				return
			}
			require.EqualValues(t, test.want.code, r.body["code"])
			require.IsType(t, "", r.body["message"])
			require.Len(t, r.body, 2)
			require.Equal(t, simulator.StatusActive, h.status(), "a rejected request changes nothing")
		})
	}

	t.Run("header given twice", func(t *testing.T) {
		body := strings.NewReader(fields(nil))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+messagingSessionPath, body)
		require.NoError(t, err)
		for name, value := range h.headers(nil) {
			req.Header.Add(name, value)
		}
		req.Header.Add("OrgId", orgA)
		res, err := h.client.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusBadRequest, res.StatusCode)
	})
	t.Run("unknown path", func(t *testing.T) {
		for _, path := range []string{"/", "/api/v1/messagingSessions", "//api/v1/messagingSession"} {
			require.Equal(t, http.StatusNotFound, h.do(http.MethodPost, path, h.headers(nil), fields(nil)).status)
			require.Equal(t, path, h.last().Path)
		}
	})
}

func TestRepeatedRequestIDIsViolation(t *testing.T) {
	h := newHarness(t)
	h.session()
	id := uuid.NewString()
	for _, repeated := range []string{id, strings.ToUpper(id)} {
		require.Equal(t, http.StatusOK, h.callWith(m{"RequestId": repeated}, fields(nil)).status)
	}
	entries := h.Journal()
	require.Empty(t, entries[0].Violations)
	require.Equal(t, []string{"RequestId: repeated"}, entries[1].Violations)
}

func TestBusinessFailure(t *testing.T) {
	known := func(c *simulator.Config) { c.Orgs[0].EndUsers = []string{endUser} }
	for reason, test := range map[string]struct {
		headers m
		body    m
		code    int
	}{
		"ORG_NOT_FOUND":                 {headers: m{"OrgId": "00DzzzzzzzzzzzZ"}, code: 10001},
		"PERMISSION_DENIED":             {headers: m{"AuthorizationContext": "Other"}, code: 10099},
		"CHANNEL_ADDRESS_NOT_FOUND":     {body: m{"channelAddressIdentifier": "other"}, code: 10017},
		"CHANNEL_ADDRESS_IS_INACTIVE":   {body: m{"channelAddressIdentifier": inactiveChannel}, code: 10031},
		"END_USER_NOT_FOUND":            {body: m{"endUserClientId": "end-user-2"}, code: 10105},
		"ACTIVE_CONVERSATION_NOT_FOUND": {body: m{"conversationIdentifier": "other"}, code: 10025},
		"SESSION_NOT_FOUND":             {body: m{"sessionId": "0Mw000000000000AAA"}, code: 10071},
	} {
		t.Run(reason, func(t *testing.T) {
			for spelling, capital := range map[string]bool{"errorReason": false, "ErrorReason": true} {
				h := newHarness(t, known, func(c *simulator.Config) { c.Behaviour.CapitalErrorReason = capital })
				h.session()
				r := h.callWith(test.headers, fields(test.body))
				require.Equal(t, http.StatusOK, r.status)
				require.JSONEq(t, `{"success":false,"`+spelling+`":"`+reason+`"}`, r.raw)
				require.Equal(t, reason, h.last().ErrorReason)
				require.Empty(t, h.last().Violations)
			}
			h := newHarness(t, known, withBehaviour(simulator.Behaviour{FailuresAsCodes: true}))
			h.session()
			r := h.callWith(test.headers, fields(test.body))
			require.GreaterOrEqual(t, r.status, 400)
			require.EqualValues(t, test.code, r.body["code"])
			if reason != "ORG_NOT_FOUND" {
				want := endUser
				if test.body["endUserClientId"] != "" {
					want = test.body["endUserClientId"]
				}
				require.Contains(t, r.body["message"], want, "the message contains personal data, to catch clients that log it")
			}
			h = newHarness(t, known, withBehaviour(simulator.Behaviour{FailuresAsCodes: true, SymbolicCodes: true}))
			h.session()
			require.Equal(t, reason, h.callWith(test.headers, fields(test.body)).body["code"])
		})
	}
}

func TestChannelIsDeactivatedAndActivated(t *testing.T) {
	h := newHarness(t)
	h.session()
	require.NoError(t, h.SetChannelAddress(orgA, channel, false))
	require.Equal(t, "CHANNEL_ADDRESS_IS_INACTIVE", h.call(nil).body["errorReason"])
	require.NoError(t, h.SetChannelAddress(orgA, channel, true))
	require.Equal(t, true, h.call(nil).body["success"])
	require.ErrorIs(t, h.SetChannelAddress(orgA, "other", true), simulator.ErrChannelNotFound)
	require.ErrorIs(t, h.SetChannelAddress("x", channel, true), simulator.ErrOrgNotFound)
}

func TestTransitionsAndAnswersAreConfigurable(t *testing.T) {
	h := newHarness(t, withBehaviour(simulator.Behaviour{
		Transitions: map[simulator.Operation]map[simulator.Status]string{
			simulator.End:        {simulator.StatusEnded: simulator.Success, simulator.StatusNew: "END_SESSION_FAILED"},
			simulator.Inactivate: {simulator.StatusInactive: "CUSTOMER_ERROR"},
		},
		Answers: map[simulator.Cause]simulator.Answer{
			simulator.SessionIDRequired: {Status: 422, Code: 7, Message: "no id for {endUserClientId}"},
			"CUSTOMER_ERROR":            {Status: 409, Code: 10058},
		},
	}))
	s := h.session()
	set := func(status simulator.Status) { require.NoError(t, h.SetStatus(orgA, "conv-1", status)) }

	set(simulator.StatusEnded)
	require.Equal(t, true, h.call(nil).body["success"])
	set(simulator.StatusNew)
	require.Equal(t, "END_SESSION_FAILED", h.call(nil).body["errorReason"])
	require.Equal(t, simulator.StatusNew, h.status())
	set(simulator.StatusInactive)
	r := h.call(m{"operation": "Inactivate", "sessionId": s.ID})
	require.Equal(t, 409, r.status)
	require.Contains(t, r.body["message"], "Customer Error occurred")
	r = h.call(m{"operation": "Inactivate"})
	require.Equal(t, 422, r.status)
	require.Equal(t, "no id for "+endUser, r.body["message"])
}

func TestRateLimitIsPerOrg(t *testing.T) {
	h := newHarness(t, func(c *simulator.Config) { c.MaxRequestsPerSecond = 2 })
	h.session()
	for range 2 {
		require.Equal(t, http.StatusOK, h.call(nil).status)
	}
	r := h.call(nil)
	require.Equal(t, http.StatusTooManyRequests, r.status)
	require.Equal(t, "Interaction request rate limit exceeded", r.body["message"])
	require.Empty(t, r.header.Get("Retry-After"))

	tokenB := h.newTokenB()
	headersB := m{"Authorization": "Bearer " + tokenB, "OrgId": orgB, "AuthorizationContext": "B_Channel"}
	r = h.callWith(headersB, fields(nil))
	require.Equal(t, "ACTIVE_CONVERSATION_NOT_FOUND", r.body["errorReason"])
	h.advance(500 * time.Millisecond)
	require.Equal(t, http.StatusOK, h.call(nil).status)
}
