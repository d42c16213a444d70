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

type m = map[string]string

func TestOperationIsApplied(t *testing.T) {
	l := newLab(t)
	s := l.session()

	r := l.call(m{"operation": "Inactivate", "sessionId": s.ID})
	require.Equal(t, http.StatusOK, r.status)
	require.JSONEq(t, `{"success":true}`, r.raw)
	require.Equal(t, simulator.StatusInactive, l.status())

	require.Equal(t, true, l.call(m{"operation": "Inactivate", "sessionId": s.ID}).body["success"], "again")
	require.Equal(t, true, l.call(m{"operationBy": ""}).body["success"], "End without sessionId and operationBy")
	require.Equal(t, simulator.StatusEnded, l.status())
	require.JSONEq(t, `{"success":false,"errorReason":"SESSION_NOT_FOUND"}`, l.call(nil).raw, "ended already")
}

func TestUnknownSessionsAreAdopted(t *testing.T) {
	unknown := m{"conversationIdentifier": "never-created", "sessionId": "0Mw000000000099AAA", "operation": "End"}

	require.JSONEq(t, `{"success":false,"errorReason":"ACTIVE_CONVERSATION_NOT_FOUND"}`, newLab(t).call(unknown).raw, "unless asked to")

	l := newLab(t, behaving(simulator.Behaviour{AdoptUnknown: true}))
	require.JSONEq(t, `{"success":true}`, l.call(unknown).raw)
	require.JSONEq(t, `{"success":false,"errorReason":"SESSION_NOT_FOUND"}`, l.call(unknown).raw, "once")
}

func TestRequestIsRefusedForItsForm(t *testing.T) {
	l := newLab(t)
	tokenA, tokenB := l.token, l.grantB()
	l.token = tokenA
	s := l.session()
	long := strings.Repeat("ü", 241)

	for name, test := range map[string]struct {
		method    string
		headers   m
		body      string
		status    int
		code      int
		violation string
	}{
		"GET":                   {method: http.MethodGet, status: 405, code: 405, violation: "method"},
		"no token":              {headers: m{"Authorization": ""}, status: 401, code: 10004, violation: "Authorization"},
		"Basic":                 {headers: m{"Authorization": "Basic abc"}, status: 401, code: 10004, violation: "Authorization"},
		"empty token":           {headers: m{"Authorization": "Bearer "}, status: 401, code: 10004, violation: "Authorization"},
		"no OrgId":              {headers: m{"OrgId": ""}, status: 400, code: 10102, violation: "OrgId"},
		"18 characters":         {headers: m{"OrgId": orgA + "AAA"}, status: 400, code: 10102, violation: "OrgId"},
		"token of another org":  {headers: m{"Authorization": "Bearer " + tokenB}, status: 403, code: 10003, violation: "OrgId"},
		"no RequestId":          {headers: m{"RequestId": ""}, status: 400, code: 10102, violation: "RequestId"},
		"RequestId no UUID":     {headers: m{"RequestId": "1"}, status: 400, code: 10102, violation: "RequestId"},
		"RequestId in braces":   {headers: m{"RequestId": "{" + uuid.NewString() + "}"}, status: 400, code: 10102, violation: "RequestId"},
		"no context":            {headers: m{"AuthorizationContext": ""}, status: 400, code: 10102, violation: "AuthorizationContext:"},
		"context type":          {headers: m{"AuthorizationContextType": "x"}, status: 400, code: 10102, violation: "AuthorizationContextType"},
		"no Content-Type":       {headers: m{"Content-Type": ""}, status: 415, code: 415, violation: "Content-Type"},
		"text":                  {headers: m{"Content-Type": "text/plain"}, status: 415, code: 415, violation: "Content-Type"},
		"empty body":            {body: " ", status: 400, code: 10102, violation: "body: not a JSON object"},
		"array":                 {body: "[]", status: 400, code: 10102, violation: "body: not a JSON object"},
		"cut off":               {body: fields(nil)[:40], status: 400, code: 10102, violation: "body: malformed"},
		"two values":            {body: fields(nil) + "{}", status: 400, code: 10102, violation: "more than one"},
		"not UTF-8":             {body: "{\"\xff\":\"\"}", status: 400, code: 10102, violation: "UTF-8"},
		"field given twice":     {body: strings.Replace(fields(nil), "{", `{"operation":"End",`, 1), status: 400, code: 10102, violation: "operation given twice"},
		"number":                {body: strings.Replace(fields(m{"sessionId": ""}), "{", `{"sessionId":1,`, 1), status: 400, code: 10102, violation: "sessionId is not a string"},
		"null":                  {body: strings.Replace(fields(nil), "{", `{"sessionId":null,`, 1), status: 400, code: 10102, violation: "sessionId is not a string"},
		"unknown field":         {body: fields(m{"reason": "x"}), status: 400, code: 10102, violation: "reason: unknown"},
		"field in other case":   {body: fields(m{"sessionID": s.ID}), status: 400, code: 10102, violation: "sessionID: unknown"},
		"no channel address":    {body: fields(m{"channelAddressIdentifier": ""}), status: 400, code: 10102, violation: "channelAddressIdentifier"},
		"no end user":           {body: fields(m{"endUserClientId": ""}), status: 400, code: 10102, violation: "endUserClientId"},
		"no conversation":       {body: fields(m{"conversationIdentifier": ""}), status: 400, code: 10102, violation: "conversationIdentifier"},
		"no operation":          {body: fields(m{"operation": ""}), status: 400, code: 10102, violation: "operation"},
		"long channel address":  {body: fields(m{"channelAddressIdentifier": long}), status: 400, code: 10103, violation: "channelAddressIdentifier: longer"},
		"long end user":         {body: fields(m{"endUserClientId": long}), status: 400, code: 10103, violation: "endUserClientId: longer"},
		"other operation":       {body: fields(m{"operation": "end"}), status: 400, code: 10103, violation: "operation:"},
		"other operationBy":     {body: fields(m{"operationBy": "Agent"}), status: 400, code: 10103, violation: "operationBy:"},
		"Inactivate, no id":     {body: fields(m{"operation": "Inactivate"}), status: 400, code: 10106, violation: "sessionId"},
		"too large":             {body: fields(m{"endUserClientId": strings.Repeat("x", 70_000)}), status: 413, code: 413, violation: "body: too large"},
		"first rule decides":    {headers: m{"OrgId": "x"}, body: "[]", status: 400, code: 10102, violation: "body: not a JSON object"},
		"charset":               {headers: m{"Content-Type": "application/json; charset=utf-8"}, status: 200},
		"240 characters are ok": {body: fields(m{"endUserClientId": long[2:]}), status: 200, violation: "conversationIdentifier: belongs to another"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.method == "" {
				test.method = http.MethodPost
			}
			if test.body == "" {
				test.body = fields(nil)
			}
			require.NoError(t, l.SetStatus(orgA, "conv-1", simulator.StatusActive))
			r := l.do(test.method, apiPath, l.headers(test.headers), test.body)
			require.Equal(t, test.status, r.status, r.raw)
			e := l.last()
			require.Contains(t, strings.Join(e.Violations, "\n"), test.violation)
			require.Equal(t, test.violation == "", len(e.Violations) == 0)
			require.Equal(t, []int{test.status, test.code}, []int{e.Status, e.Code})
			if test.status == http.StatusOK {
				return
			}
			require.EqualValues(t, test.code, r.body["code"])
			require.IsType(t, "", r.body["message"])
			require.Len(t, r.body, 2)
			require.Equal(t, simulator.StatusActive, l.status(), "a refused request changes nothing")
		})
	}

	t.Run("header given twice", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url+apiPath, strings.NewReader(fields(nil)))
		require.NoError(t, err)
		for name, value := range l.headers(nil) {
			req.Header.Add(name, value)
		}
		req.Header.Add("OrgId", orgA)
		res, err := l.client.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusBadRequest, res.StatusCode)
	})
	t.Run("unknown path", func(t *testing.T) {
		for _, path := range []string{"/", "/api/v1/messagingSessions", "//api/v1/messagingSession"} {
			require.Equal(t, http.StatusNotFound, l.do(http.MethodPost, path, l.headers(nil), fields(nil)).status)
			require.Equal(t, path, l.last().Path)
		}
	})
}

func TestRepeatedRequestIDIsFlagged(t *testing.T) {
	l := newLab(t)
	l.session()
	id := uuid.NewString()
	for _, repeated := range []string{id, strings.ToUpper(id)} {
		require.Equal(t, http.StatusOK, l.do(http.MethodPost, apiPath, l.headers(m{"RequestId": repeated}), fields(nil)).status)
	}
	entries := l.Journal()
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
		"CHANNEL_ADDRESS_IS_INACTIVE":   {body: m{"channelAddressIdentifier": simulator.DemoInactiveChannelAddress}, code: 10031},
		"END_USER_NOT_FOUND":            {body: m{"endUserClientId": "somebody else"}, code: 10105},
		"ACTIVE_CONVERSATION_NOT_FOUND": {body: m{"conversationIdentifier": "other"}, code: 10072},
		"SESSION_NOT_FOUND":             {body: m{"sessionId": "0Mw000000000000AAA"}, code: 10071},
	} {
		t.Run(reason, func(t *testing.T) {
			for spelling, capital := range map[string]bool{"errorReason": false, "ErrorReason": true} {
				l := newLab(t, known, func(c *simulator.Config) { c.Behaviour.CapitalErrorReason = capital })
				l.session()
				r := l.do(http.MethodPost, apiPath, l.headers(test.headers), fields(test.body))
				require.Equal(t, http.StatusOK, r.status)
				require.JSONEq(t, `{"success":false,"`+spelling+`":"`+reason+`"}`, r.raw)
				require.Equal(t, reason, l.last().ErrorReason)
				require.Empty(t, l.last().Violations)
			}
			l := newLab(t, known, behaving(simulator.Behaviour{FailuresAsCodes: true}))
			l.session()
			r := l.do(http.MethodPost, apiPath, l.headers(test.headers), fields(test.body))
			require.GreaterOrEqual(t, r.status, 400)
			require.EqualValues(t, test.code, r.body["code"])
			if reason != "ORG_NOT_FOUND" {
				want := endUser
				if test.body["endUserClientId"] != "" {
					want = test.body["endUserClientId"]
				}
				require.Contains(t, r.body["message"], want, "the message leaks, for clients that log it raw")
			}
			l = newLab(t, known, behaving(simulator.Behaviour{FailuresAsCodes: true, SymbolicCodes: true}))
			l.session()
			require.Equal(t, reason, l.do(http.MethodPost, apiPath, l.headers(test.headers), fields(test.body)).body["code"])
		})
	}
}

func TestChannelIsDeactivatedAndActivated(t *testing.T) {
	l := newLab(t)
	l.session()
	require.NoError(t, l.SetChannelAddress(orgA, channel, false))
	require.Equal(t, "CHANNEL_ADDRESS_IS_INACTIVE", l.call(nil).body["errorReason"])
	require.NoError(t, l.SetChannelAddress(orgA, channel, true))
	require.Equal(t, true, l.call(nil).body["success"])
	require.ErrorIs(t, l.SetChannelAddress(orgA, "other", true), simulator.ErrChannelNotFound)
	require.ErrorIs(t, l.SetChannelAddress("x", channel, true), simulator.ErrOrgNotFound)
}

func TestTransitionsAndAnswersAreSettings(t *testing.T) {
	l := newLab(t, behaving(simulator.Behaviour{
		Transitions: map[simulator.Operation]map[simulator.Status]string{
			simulator.End:        {simulator.StatusEnded: simulator.Success, simulator.StatusNew: "END_SESSION_FAILED"},
			simulator.Inactivate: {simulator.StatusInactive: "CUSTOMER_ERROR"},
		},
		Answers: map[simulator.Cause]simulator.Answer{
			simulator.SessionIDRequired: {Status: 422, Code: 7, Message: "no id for {endUserClientId}"},
			"CUSTOMER_ERROR":            {Status: 409, Code: 10058},
		},
	}))
	s := l.session()
	set := func(status simulator.Status) { require.NoError(t, l.SetStatus(orgA, "conv-1", status)) }

	set(simulator.StatusEnded)
	require.Equal(t, true, l.call(nil).body["success"])
	set(simulator.StatusNew)
	require.Equal(t, "END_SESSION_FAILED", l.call(nil).body["errorReason"])
	require.Equal(t, simulator.StatusNew, l.status())
	set(simulator.StatusInactive)
	r := l.call(m{"operation": "Inactivate", "sessionId": s.ID})
	require.Equal(t, 409, r.status)
	require.Contains(t, r.body["message"], "Customer Error occurred")
	r = l.call(m{"operation": "Inactivate"})
	require.Equal(t, 422, r.status)
	require.Equal(t, "no id for "+endUser, r.body["message"])
}

func TestSessionAppearsLate(t *testing.T) {
	l := newLab(t)
	_, err := l.CreateSession(orgA, simulator.Session{ConversationIdentifier: "conv-1", AppearsAfter: simulator.Duration(time.Second)})
	require.NoError(t, err)
	require.Equal(t, "ACTIVE_CONVERSATION_NOT_FOUND", l.call(nil).body["errorReason"])
	l.advance(time.Second)
	require.Equal(t, true, l.call(nil).body["success"])

	later, err := l.CreateSession(orgA, simulator.Session{ConversationIdentifier: "conv-1", AppearsAfter: simulator.Duration(time.Second)})
	require.NoError(t, err)
	require.Equal(t, "SESSION_NOT_FOUND", l.call(m{"sessionId": later.ID}).body["errorReason"])
	l.advance(time.Second)
	require.Equal(t, true, l.call(m{"sessionId": later.ID}).body["success"])
}

func TestOldSessionIsNotMistakenForTheNewOne(t *testing.T) {
	l := newLab(t)
	first := l.session()
	second := l.session()
	require.NotEqual(t, first.ID, second.ID)
	require.Equal(t, "SESSION_NOT_FOUND", l.call(m{"sessionId": first.ID}).body["errorReason"], "ended by its successor")
	require.Equal(t, simulator.StatusActive, l.status())
	require.Equal(t, true, l.call(m{"sessionId": second.ID}).body["success"])
}

func TestRateLimitIsPerOrg(t *testing.T) {
	l := newLab(t, func(c *simulator.Config) { c.MaxRequestsPerSecond = 2 })
	l.session()
	for range 2 {
		require.Equal(t, http.StatusOK, l.call(nil).status)
	}
	r := l.call(nil)
	require.Equal(t, http.StatusTooManyRequests, r.status)
	require.Equal(t, "Interaction request rate limit exceeded", r.body["message"])
	require.Empty(t, r.header.Get("Retry-After"))

	tokenB := l.grantB()
	r = l.do(http.MethodPost, apiPath, l.headers(m{"Authorization": "Bearer " + tokenB, "OrgId": orgB, "AuthorizationContext": "B_Channel"}), fields(nil))
	require.Equal(t, "ACTIVE_CONVERSATION_NOT_FOUND", r.body["errorReason"])
	l.advance(500 * time.Millisecond)
	require.Equal(t, http.StatusOK, l.call(nil).status)
}
