package receiver_test

import (
	"bufio"
	"fmt"
	"io"
	"math"
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

func TestAllContentModesAreAccepted(t *testing.T) {
	srv := startServer(t)
	one := accepted{1, map[sender.Receipt]int{sender.Sent: 1}}
	two := accepted{2, map[sender.Receipt]int{sender.Sent: 2}}
	require.Equal(t, one, srv.post(t, structuredType, message("structured")).accepted(t))
	require.Equal(t, one, srv.post(t, structuredType+"; charset=utf-8", message("charset")).accepted(t))
	require.Equal(t, two, srv.post(t, batchType, batch(message("b1"), message("b2"))).accepted(t))
	got := srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(data("binary")), "Content-Type", "application/json",
		"Ce-Specversion", "1.0", "Ce-Id", "e", "Ce-Source", "/r", "Ce-Type", "sessionkeeper.conversation.message",
		"Ce-Time", "2026-01-15T09:00:00Z")
	require.Equal(t, one, got.accepted(t))
	ended := `{"sessionId":"0Mw000000000001","conversationIdentifier":"binary","sessionStatus":"Ended"}`
	got = srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(ended), "Content-Type", "application/json",
		"Ce-Specversion", "1.0", "Ce-Id", "e", "Ce-Source", "/r", "Ce-Type", "sessionkeeper.conversation.session-status",
		"Ce-Orgid", "00D000000000001")
	require.Equal(t, one, got.accepted(t))

	for _, id := range []string{"structured", "charset", "b1", "b2"} {
		require.Equal(t, []string{conversation.SignalMessage}, srv.signals(id))
	}
	require.Equal(t, []string{conversation.SignalMessage, conversation.SignalSessionStatus}, srv.signals("binary"))
	require.Contains(t, string(srv.temporal.Calls()[4].Payload), `"at":"2026-01-15T09:00:00Z"`)
}

func TestEmptyBatchIsAccepted(t *testing.T) {
	require.Equal(t, accepted{0, map[sender.Receipt]int{}}, startServer(t).post(t, batchType, " [] ").accepted(t))
}

func TestInvalidEventRejectsWholeBatch(t *testing.T) {
	srv := startServer(t)
	wrong := strings.Replace(message("c2"), `"00D000000000001"`, `"00D000000000001AAA"`, 1)
	wrong = strings.Replace(wrong, session, "0Mw", 1)
	got := srv.post(t, batchType, batch(message("c1"), wrong, `{"specversion":"1.0"}`, `5`, message("c3")))
	require.Equal(t, http.StatusBadRequest, got.status)
	p := got.problem(t)
	require.Equal(t, "3 of 5 events are invalid; no event of the request was processed", p.Detail)
	var problems []string
	for _, e := range p.Errors {
		problems = append(problems, fmt.Sprintf("%d %s: %s", *e.Index, e.Field, e.Problem))
	}
	require.Equal(t, []string{
		"1 orgId: must be the 15-character form of the org's id, without the 3-character suffix",
		"1 sessionId: must be a Salesforce record id of 15 or 18 characters",
		"2 id: MUST be a non-empty string",
		"2 source: REQUIRED",
		"2 type: MUST be a non-empty string",
		"3 : not a CloudEvent: want an object, not a JSON number",
	}, problems)
	require.Empty(t, srv.temporal.Calls())
}

func TestInvalidBodiesAreRejected(t *testing.T) {
	srv := startServer(t, func(o *receiver.Options) { o.Limits.Body, o.Limits.Events = 4096, 3 })
	const attributes = `"specversion":"1.0","id":"e","source":"/r","type":"sessionkeeper.conversation.message"`
	for name, test := range map[string]struct {
		mediaType, body string
		status          int
		want            string
	}{
		"empty":               {structuredType, "", 400, "unexpected end of JSON input"},
		"not JSON":            {structuredType, "hello", 400, "invalid character 'h'"},
		"half of an event":    {structuredType, message("c")[:50], 400, "unexpected end"},
		"two events":          {structuredType, message("c") + message("c"), 400, "invalid character '{'"},
		"a batch as an event": {structuredType, batch(message("c")), 400, "want an object, not a JSON array"},
		"unknown type": {
			structuredType, event("typed", "c", time.Now()), 400, "want sessionkeeper.conversation.started",
		},
		"no data": {
			structuredType, `{` + attributes + `}`, 400, `"field":"data","problem":"is missing"`,
		},
		"a number as base64": {
			structuredType, `{` + attributes + `,"data_base64":5}`, 400, `"field":"data_base64"`,
		},
		"nested deep":         {structuredType, strings.Repeat("[", 4000), 400, ""},
		"no array":            {batchType, message("c"), 400, "want an array"},
		"null":                {batchType, "null", 400, "want an array"},
		"an empty batch body": {batchType, "", 400, "unexpected EOF"},
		"half of a batch":     {batchType, "[" + message("c") + ",", 400, "unexpected EOF"},
		"an open batch":       {batchType, "[" + message("c"), 400, "unexpected EOF"},
		"no comma":            {batchType, "[{}{}]", 400, "expected comma"},
		"text after a batch":  {batchType, "[]]", 400, "text after the array"},
		"too many":            {batchType, "[{},{},{},{}]", 413, "want at most 3 events"},
		"too large":           {structuredType, strings.Repeat(" ", 4097), 413, "want at most 4096 bytes"},
		"plain JSON":          {"application/json", message("c"), 415, "application/cloudevents-batch+json"},
		"no media type":       {"", message("c"), 415, ""},
		"a broken media type": {"application/", message("c"), 415, ""},
		"XML":                 {"application/cloudevents+xml", "<event/>", 415, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := srv.post(t, test.mediaType, test.body)
			require.Equal(t, test.status, got.status, got.body)
			got.problem(t)
			require.Contains(t, got.body, test.want)
		})
	}
	require.Empty(t, srv.temporal.Calls())
	require.Zero(t, srv.log.count("panic"), srv.log)
}

func TestInvalidBinaryEventsAreRejected(t *testing.T) {
	srv := startServer(t)
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
			got := srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(data("c")), append([]string{
				"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "e", "Ce-Source", "/r",
				"Ce-Type", "sessionkeeper.conversation.message",
			}, test.headers...)...)
			require.Equal(t, test.status, got.status, got.body)
			got.problem(t)
			require.Contains(t, got.body, test.want)
		})
	}
	require.Empty(t, srv.temporal.Calls())
}

func TestEndlessBodyIsRejected(t *testing.T) {
	srv := startServer(t, func(o *receiver.Options) { o.Limits.Body = 10_000 })
	endless := io.MultiReader(strings.NewReader("["), forever{})
	request := srv.newRequest(t, batchType, endless)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		// The server may close the connection while the client still writes.
		require.ErrorContains(t, err, "connection")
		return
	}
	defer response.Body.Close()
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
}

type forever struct{}

func (forever) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// The length must be rejected before memory is allocated for it.
func TestLargeContentLengthIsRejected(t *testing.T) {
	srv := startServer(t)
	connection := srv.dial(t)
	writePartially(t, connection, batchType, math.MaxInt64, "[")
	line, err := bufio.NewReader(connection).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 413 Request Entity Too Large\r\n", line)
}

// Every response must be one that is described.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{
		message("c1"), batch(message("c1"), event("closed", "c1", time.Now())), "[", "null", `{"data_base64":5}`,
	} {
		f.Add(structuredType, seed)
		f.Add(batchType, seed)
	}
	f.Add("application/cloudevents+json;charset=x;charset=y", "{}")
	srv := startServer(f)
	srv.temporal.Fail(func(string) error { return serviceerror.NewPermissionDenied("no", "") })
	f.Fuzz(func(t *testing.T, mediaType, body string) {
		for _, c := range mediaType {
			if c < ' ' || c > '~' {
				return // not a valid header
			}
		}
		if got := srv.post(t, mediaType, body); got.status == http.StatusInternalServerError {
			t.Errorf("%q as %q: %s", body, mediaType, got.body)
		}
	})
}
