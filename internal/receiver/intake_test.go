package receiver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/receiver"
	"sessionkeeper/sender"
)

type accepted struct {
	Accepted int
	Receipts map[sender.Receipt]int
}

func (a answer) accepted(t testing.TB) accepted {
	t.Helper()
	require.Equal(t, http.StatusAccepted, a.status, a.body)
	var said accepted
	require.NoError(t, json.Unmarshal([]byte(a.body), &said))
	return said
}

func TestEveryModeIsTaken(t *testing.T) {
	d := open(t)
	require.Equal(t, accepted{1, map[sender.Receipt]int{sender.Sent: 1}}, d.post(t, one, message("structured")).accepted(t))
	require.Equal(t, accepted{1, map[sender.Receipt]int{sender.Sent: 1}}, d.post(t, one+"; charset=utf-8", message("charset")).accepted(t))
	require.Equal(t, accepted{2, map[sender.Receipt]int{sender.Sent: 2}}, d.post(t, many, batch(message("b1"), message("b2"))).accepted(t))
	got := d.do(t, http.MethodPost, "/v1/events", strings.NewReader(data("binary")), "Content-Type", "application/json",
		"Ce-Specversion", "1.0", "Ce-Id", "e", "Ce-Source", "/r", "Ce-Type", "sessionkeeper.conversation.message", "Ce-Time", "2026-01-15T09:00:00Z")
	require.Equal(t, accepted{1, map[sender.Receipt]int{sender.Sent: 1}}, got.accepted(t))
	status := d.do(t, http.MethodPost, "/v1/events",
		strings.NewReader(`{"sessionId":"0Mw000000000001","conversationIdentifier":"binary","sessionStatus":"Ended"}`), "Content-Type", "application/json",
		"Ce-Specversion", "1.0", "Ce-Id", "e", "Ce-Source", "/r", "Ce-Type", "sessionkeeper.conversation.session-status", "Ce-Orgid", "00D000000000001")
	require.Equal(t, accepted{1, map[sender.Receipt]int{sender.Sent: 1}}, status.accepted(t))

	for _, id := range []string{"structured", "charset", "b1", "b2"} {
		require.Equal(t, []string{conversation.SignalMessage}, d.told(id))
	}
	require.Equal(t, []string{conversation.SignalMessage, conversation.SignalSessionStatus}, d.told("binary"))
	require.Contains(t, string(d.temporal.Calls()[4].Payload), `"at":"2026-01-15T09:00:00Z"`)
}

func TestEventsOfAConversationAreToldInOrder(t *testing.T) {
	d := open(t)
	at := time.Now().Add(-time.Second)
	var events []string
	for _, kind := range []string{"started", "message", "closed"} {
		for c := range 100 {
			at = at.Add(time.Millisecond)
			events = append(events, event(kind, fmt.Sprintf("c%d", c), at))
		}
	}
	got := d.post(t, many, batch(events...)).accepted(t)
	require.Equal(t, accepted{300, map[sender.Receipt]int{sender.Sent: 200, sender.Absorbed: 100}}, got)
	for c := range 100 {
		require.Equal(t, []string{conversation.SignalStart, conversation.SignalMessage, conversation.SignalClose}, d.told(fmt.Sprintf("c%d", c)),
			"what was absorbed is reported before the close")
	}
}

func TestAnEmptyBatchIsFine(t *testing.T) {
	require.Equal(t, accepted{0, map[sender.Receipt]int{}}, open(t).post(t, many, " [] ").accepted(t))
}

func TestRepeatedEventsDoNoHarm(t *testing.T) {
	d := open(t)
	text := batch(message("c1"), message("c1"))
	d.post(t, many, text).accepted(t)
	require.Equal(t, accepted{2, map[sender.Receipt]int{sender.Absorbed: 2}}, d.post(t, many, text).accepted(t))
	require.Len(t, d.told("c1"), 1)
}

func TestAWrongEventKeepsAllOfItsBatchBack(t *testing.T) {
	d := open(t)
	wrong := strings.Replace(message("c2"), `"00D000000000001"`, `"00D000000000001AAA"`, 1)
	wrong = strings.Replace(wrong, session, "0Mw", 1)
	got := d.post(t, many, batch(message("c1"), wrong, `{"specversion":"1.0"}`, `5`, message("c3")))
	require.Equal(t, http.StatusBadRequest, got.status)
	p := got.problem(t)
	require.Equal(t, "3 of 5 events are wrong; nothing was told", p.Detail)
	var said []string
	for _, e := range p.Errors {
		said = append(said, fmt.Sprintf("%d %s: %s", *e.Index, e.Field, e.Problem))
	}
	require.Equal(t, []string{
		"1 orgId: must be the 15-character form of the org's id, without the 3-character suffix",
		"1 sessionId: must be a Salesforce record id of 15 or 18 characters",
		"2 id: MUST be a non-empty string",
		"2 source: REQUIRED",
		"2 type: MUST be a non-empty string",
		"3 : not a CloudEvent: want an object, not a JSON number",
	}, said)
	require.Empty(t, d.temporal.Calls())
}

func TestTheErrorsOfAnAnswerAreBounded(t *testing.T) {
	p := open(t).post(t, many, batch(strings.Fields(strings.Repeat("{} ", receiver.DefaultEvents))...)).problem(t)
	require.Equal(t, "1000 of 1000 events are wrong; nothing was told", p.Detail)
	require.Len(t, p.Errors, 100)
}

func TestWhatIsNoEventIsRefused(t *testing.T) {
	d := open(t, func(o *receiver.Options) { o.Limits.Body, o.Limits.Events = 4096, 3 })
	for name, test := range map[string]struct {
		mediaType, body string
		status          int
		want            string
	}{
		"nothing":             {one, "", 400, "unexpected end of JSON input"},
		"no JSON":             {one, "hello", 400, "invalid character 'h'"},
		"half of an event":    {one, message("c")[:50], 400, "unexpected end"},
		"two events":          {one, message("c") + message("c"), 400, "invalid character '{'"},
		"a batch as an event": {one, batch(message("c")), 400, "want an object, not a JSON array"},
		"unknown type":        {one, event("typed", "c", time.Now()), 400, "want sessionkeeper.conversation.started"},
		"no data":             {one, `{"specversion":"1.0","id":"e","source":"/r","type":"sessionkeeper.conversation.message"}`, 400, `"field":"data","problem":"is missing"`},
		"a number as base64":  {one, `{"specversion":"1.0","id":"e","source":"/r","type":"t","data_base64":5}`, 400, `"field":"data_base64"`},
		"deep":                {one, strings.Repeat("[", 4000), 400, ""},
		"no batch":            {many, message("c"), 400, "want an array"},
		"null":                {many, "null", 400, "want an array"},
		"an empty batch body": {many, "", 400, "unexpected EOF"},
		"half of a batch":     {many, "[" + message("c") + ",", 400, "unexpected EOF"},
		"an open batch":       {many, "[" + message("c"), 400, "unexpected EOF"},
		"no comma":            {many, "[{}{}]", 400, "expected comma"},
		"something behind":    {many, "[]]", 400, "something follows it"},
		"too many":            {many, "[{},{},{},{}]", 413, "want at most 3 events"},
		"too large":           {one, strings.Repeat(" ", 4097), 413, "want at most 4096 bytes"},
		"plain JSON":          {"application/json", message("c"), 415, "application/cloudevents-batch+json"},
		"no media type":       {"", message("c"), 415, ""},
		"a broken media type": {"application/", message("c"), 415, ""},
		"XML":                 {"application/cloudevents+xml", "<event/>", 415, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := d.post(t, test.mediaType, test.body)
			require.Equal(t, test.status, got.status, got.body)
			got.problem(t)
			require.Contains(t, got.body, test.want)
		})
	}
	require.Empty(t, d.temporal.Calls())
	require.Zero(t, d.log.count("panic"), d.log)
}

func TestWhatIsNoBinaryEventIsRefused(t *testing.T) {
	d := open(t)
	for name, test := range map[string]struct {
		headers []string
		status  int
		want    string
	}{
		"version":      {[]string{"Ce-Specversion", "0.3"}, 400, `"field":"specversion"`},
		"no id":        {[]string{"Ce-Id", ""}, 400, "id is required"},
		"type":         {[]string{"Ce-Type", "t"}, 400, `"field":"type"`},
		"time":         {[]string{"Ce-Time", "noon"}, 400, "invalid value for time"},
		"extension":    {[]string{"Ce-A_b", "x"}, 400, ""},
		"data of text": {[]string{"Content-Type", "text/plain"}, 415, ""},
		"compressed":   {[]string{"Content-Encoding", "gzip"}, 415, "not compressed"},
	} {
		t.Run(name, func(t *testing.T) {
			got := d.do(t, http.MethodPost, "/v1/events", strings.NewReader(data("c")), append([]string{
				"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "e", "Ce-Source", "/r", "Ce-Type", "sessionkeeper.conversation.message",
			}, test.headers...)...)
			require.Equal(t, test.status, got.status, got.body)
			got.problem(t)
			require.Contains(t, got.body, test.want)
		})
	}
	require.Empty(t, d.temporal.Calls())
}

func TestOtherMethodsAndPaths(t *testing.T) {
	d := open(t)
	got := d.get(t, "/v1/events")
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	require.Equal(t, "POST", got.header.Get("Allow"))
	got.problem(t)
	got = d.do(t, http.MethodDelete, "/v1/conversations/a/b", http.NoBody)
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	require.Equal(t, "GET, HEAD", got.header.Get("Allow"))
	for _, path := range []string{"/", "/v1", "/v2/events", "/v1/conversations/a", "/v1/conversations/a/b/c", "/metrics"} {
		got = d.get(t, path)
		require.Equal(t, http.StatusNotFound, got.status, path)
		got.problem(t)
	}
}

func TestWhileTemporalIsAwayOnlyWhatIsPromisedIsAccepted(t *testing.T) {
	d := open(t, soon)
	d.post(t, one, message("c1")).accepted(t)
	d.temporal.Stop()

	require.Equal(t, accepted{1, map[sender.Receipt]int{sender.Absorbed: 1}}, d.post(t, one, message("c1")).accepted(t))
	asked := time.Now()
	got := d.post(t, many, batch(message("c1"), message("c2"), event("closed", "c2", time.Now()), message("c1")))
	require.Less(t, time.Since(asked), receiver.DefaultAccept, "it does not wait longer than it may")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	p := got.problem(t)
	require.Equal(t, map[sender.Receipt]int{sender.Absorbed: 2}, p.Receipts)
	require.Contains(t, p.Detail, "2 of 4 events were not accepted")
	require.Contains(t, p.Detail, "Send the same request again")
	require.Len(t, p.Errors, 2)
	require.Equal(t, 1, *p.Errors[0].Index)
	require.Equal(t, 2, *p.Errors[1].Index)
	require.Contains(t, p.Errors[1].Problem, "an earlier event of its conversation")
	d.post(t, one, message("c3")).problem(t)
	require.Equal(t, 1, d.log.count("Events are not accepted"), "one line for the outage: %s", d.log)

	d.temporal.Resume(t)
	require.Eventually(t, func() bool { return d.post(t, one, event("closed", "c2", time.Now())).status == http.StatusAccepted },
		30*time.Second, 10*time.Millisecond)
	require.Equal(t, 1, d.log.count("Events are accepted again"), d.log)
	require.NotContains(t, d.log.String(), phone[1:])
	require.NotContains(t, d.log.String(), token)
}

func TestAFullSenderAsksToComeBack(t *testing.T) {
	d := open(t, soon, func(o *receiver.Options) { o.Sender.MaxConversations = 1 })
	got := d.post(t, many, batch(message("c1"), message("c1")))
	got.accepted(t)
	got = d.post(t, many, batch(message("c1"), message("c2")))
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	p := got.problem(t)
	require.Equal(t, map[sender.Receipt]int{sender.Absorbed: 1}, p.Receipts)
	require.Contains(t, p.Errors[0].Problem, "too many conversations at once")

	// Temporal being away is worse: there, too, the request is to be sent again.
	d.temporal.Fail(func(string) error { return serviceerror.NewUnavailable("away") })
	got = d.post(t, many, batch(event("closed", "c3", time.Now()), message("c2")))
	require.Equal(t, http.StatusServiceUnavailable, got.status)
}

func TestWhatTemporalRefusesIsForAnOperator(t *testing.T) {
	d := open(t)
	d.temporal.Fail(func(method string) error {
		if method == "GetSystemInfo" {
			return nil
		}
		return serviceerror.NewInvalidArgument("no mapping defined for search attribute SessionPhase")
	})
	got := d.post(t, many, batch(message("c1"), message("c2")))
	require.Equal(t, http.StatusBadGateway, got.status)
	require.Equal(t, "Temporal refused it", got.problem(t).Errors[0].Problem)
	require.NotContains(t, got.body, "search attribute")
	require.Equal(t, 1, d.log.count("Events were refused"))
	require.Equal(t, 1, d.log.count("search attribute SessionPhase"), "that is for the operator")
}

func TestRequestsBeyondTheBoundAreRefused(t *testing.T) {
	d := open(t, func(o *receiver.Options) { o.Limits.Requests = 1 })
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	d.temporal.Fail(func(method string) error {
		if method != "GetSystemInfo" {
			arrived <- struct{}{}
			<-release
		}
		return nil
	})
	first := d.later(t, "c1")
	<-arrived
	got := d.post(t, one, message("c2"))
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	got.problem(t)

	asked := d.background(t, http.MethodGet, "/v1/conversations/00D000000000001/c9", "")
	require.Eventually(t, func() bool { return d.inFlight(t) == 2 }, 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusTooManyRequests, d.get(t, "/v1/conversations/00D000000000001/c1").status)
	close(release)
	require.Equal(t, http.StatusNotFound, <-asked, "questions have a bound of their own")
	require.Equal(t, http.StatusAccepted, <-first)
	require.Equal(t, http.StatusAccepted, d.post(t, one, message("c1")).status)
}
