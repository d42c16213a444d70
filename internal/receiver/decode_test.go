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
		"2 id: is missing",
		"2 source: is missing",
		"2 type: is missing",
		"3 : the event must be an object, not a JSON number",
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
		"empty":               {structuredType, "", 400, "the event is not valid JSON"},
		"not JSON":            {structuredType, "hello", 400, "the event is not valid JSON"},
		"half of an event":    {structuredType, message("c")[:50], 400, "is not valid JSON"},
		"two events":          {structuredType, message("c") + message("c"), 400, "more than one JSON value"},
		"a batch as an event": {structuredType, batch(message("c")), 400, "the event must be an object"},
		"unknown type": {
			structuredType, event("typed", "c", time.Now()), 400, "must be sessionkeeper.conversation.started",
		},
		"no data": {
			structuredType, `{` + attributes + `}`, 400, `"field":"data","problem":"is missing"`,
		},
		"a number as base64": {
			structuredType, `{` + attributes + `,"data_base64":5}`, 400, `"field":"data_base64"`,
		},
		"nested deep":         {structuredType, strings.Repeat("[", 4000), 400, ""},
		"no array":            {batchType, message("c"), 400, "not a JSON array of CloudEvents"},
		"null":                {batchType, "null", 400, "not a JSON array of CloudEvents"},
		"an empty batch body": {batchType, "", 400, "not a JSON array of CloudEvents"},
		"half of a batch":     {batchType, "[" + message("c") + ",", 400, "not a JSON array of CloudEvents"},
		"an open batch":       {batchType, "[" + message("c"), 400, "not a JSON array of CloudEvents"},
		"no comma":            {batchType, "[{}{}]", 400, "not a JSON array of CloudEvents"},
		"text after a batch":  {batchType, "[]]", 400, "not a JSON array of CloudEvents"},
		"too many":            {batchType, "[{},{},{},{}]", 413, "want at most 3 events"},
		"too large":           {structuredType, strings.Repeat(" ", 4097), 413, "want at most 4096 bytes"},
		"plain JSON":          {"application/json", message("c"), 415, "application/cloudevents-batch+json"},
		"no media type":       {"", message("c"), 415, ""},
		"latin1":              {structuredType + "; charset=latin1", message("c"), 415, "in UTF-8"},
		"a batch in UTF-16":   {batchType + "; charset=utf-16", batch(message("c")), 415, "in UTF-8"},
		"invalid UTF-8": {
			structuredType, strings.Replace(message("c"), `"8f5d"`, "\"caf\xe9\"", 1), 400, `"field":"channelAddressIdentifier","problem":"is not valid UTF-8"`,
		},
		"invalid UTF-8, batched": {
			batchType, batch(message("c"), strings.Replace(message("c"), phone, "\xff", 1)), 400, `"index":1,"field":"endUserClientId"`,
		},
		"a name twice": {
			structuredType, strings.Replace(message("c"), `"orgId"`, `"orgId":"00D000000000002","orgId"`, 1), 400, `"field":"orgId","problem":"occurs twice"`,
		},
		"a name in upper case": {
			batchType, batch(strings.Replace(message("c"), `"orgId"`, `"OrgId":"00D000000000002","orgId"`, 1)), 400, `"field":"orgId"`,
		},
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
		"version":            {[]string{"Ce-Specversion", "0.3"}, 400, `"field":"specversion"`},
		"no id":              {[]string{"Ce-Id", ""}, 400, `"field":"id","problem":"is missing"`},
		"type":               {[]string{"Ce-Type", marker}, 400, `"field":"type"`},
		"time":               {[]string{"Ce-Time", marker}, 400, `"field":"time"`},
		"an empty time":      {[]string{"Ce-Time", ""}, 400, `"field":"time"`},
		"not UTF-8":          {[]string{"Ce-Id", "%FF"}, 400, `"field":"id","problem":"is not percent-encoded UTF-8"`},
		"overlong UTF-8":     {[]string{"Ce-Source", "%C0%A0"}, 400, `"field":"source"`},
		"half an escape":     {[]string{"Ce-Subject", "100%"}, 400, `"field":"subject"`},
		"no hexadecimal":     {[]string{"Ce-Orgid", "%zz" + marker}, 400, `"field":"orgid"`},
		"latin1":             {[]string{"Ce-Id", "caf\xe9"}, 400, `"field":"id","problem":"is not valid UTF-8`},
		"an escaped control": {[]string{"Ce-Id", "a%00b"}, 400, `"field":"id","problem":"contains control characters"`},
		"an open quote":      {[]string{"Ce-Id", `"` + marker}, 400, `"field":"id","problem":"has a double quote`},
		"a quote inside":     {[]string{"Ce-Id", `a"b"`}, 400, `"field":"id"`},
		"long":               {[]string{"Ce-Id", strings.Repeat("%61", 1025)}, 400, `"field":"id","problem":"has more than 1024 characters"`},
		"extension":          {[]string{"Ce-A_" + marker, "x"}, 400, "an extension attribute"},
		"a long extension":   {[]string{"Ce-Trace", strings.Repeat(marker, 1000)}, 400, "an extension attribute"},
		"type of data twice": {[]string{"Ce-Datacontenttype", "application/json"}, 400, `"field":"datacontenttype"`},
		"data twice":         {[]string{"Ce-Data", "{}"}, 400, "is the body"},
		"data of text":       {[]string{"Content-Type", "text/plain"}, 415, ""},
		"data in latin1":     {[]string{"Content-Type", "application/json; charset=ISO-8859-1"}, 415, "in UTF-8"},
		"compressed":         {[]string{"Content-Encoding", "gzip"}, 415, "not compressed"},
	} {
		t.Run(name, func(t *testing.T) {
			got := srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(data("c")), append([]string{
				"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "e", "Ce-Source", "/r",
				"Ce-Type", "sessionkeeper.conversation.message",
			}, test.headers...)...)
			require.Equal(t, test.status, got.status, got.body)
			got.problem(t)
			require.Contains(t, got.body, test.want)
			require.NotContains(t, strings.ToLower(got.body), strings.ToLower(marker))
		})
	}
	require.Empty(t, srv.temporal.Calls())
}

func TestHeadersOfBinaryEventsAreDecoded(t *testing.T) {
	at := time.Now().UTC().Truncate(time.Second)
	encoded := strings.ReplaceAll(at.Format(time.RFC3339), ":", "%3a")
	for i, headers := range [][]string{
		{"Ce-Time", encoded},
		{"Ce-Time", `"` + at.Format(time.RFC3339) + `"`},
		{"Ce-Time", `"` + strings.Replace(encoded, "T", `\T`, 1) + `"`},
		{"Ce-Time", encoded, "Ce-Id", "Euro%20%E2%82%AC%20%F0%9F%98%80", "Ce-Specversion", "1%2E0"},
		{"Ce-Time", encoded, "Content-Type", "application/vnd.vendor+json; charset=UTF-8"},
	} {
		srv := startServer(t)
		got := srv.doUndescribed(t, http.MethodPost, "/v1/events", strings.NewReader(data("c")), append([]string{
			"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "e", "Ce-Source", "/r",
			"Ce-Type", "sessionkeeper%2econversation%2emessage",
		}, headers...)...)
		require.Equal(t, http.StatusAccepted, got.status, "%d: %s", i, got.body)
		require.Contains(t, string(srv.temporal.Calls()[0].Payload), `"at":"`+at.Format(time.RFC3339)+`"`)
	}
}

// The Go client cannot send these headers.
func TestAmbiguousHeadersAreRejected(t *testing.T) {
	srv := startServer(t)
	for _, test := range []struct{ headers, want string }{
		{"ce-id: a\r\nCE-ID: b", "400 Bad Request"},
		{"ce-id: a\r\nce-orgid: 00D000000000001\r\nCe-Orgid: 00D000000000002", "400 Bad Request"},
		{"ce-id: a\r\nContent-Type: text/plain", "415 Unsupported Media Type"},
		{"ce-id: a\r\nContent-Encoding: identity\r\nContent-Encoding: gzip", "415 Unsupported Media Type"},
		{"ce-id: a\r\n folded", "202 Accepted"}, // as a space, like RFC 7230 says
	} {
		connection := srv.dial(t)
		body := data("c")
		_, err := fmt.Fprintf(connection, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/json\r\nce-specversion: 1.0\r\nce-source: /r\r\n"+
			"ce-type: sessionkeeper.conversation.message\r\n%s\r\nContent-Length: %d\r\n\r\n%s", token, test.headers, len(body), body)
		require.NoError(t, err)
		line, err := bufio.NewReader(connection).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 "+test.want+"\r\n", line, test.headers)
	}
}

func TestByteOrderMarkIsAccepted(t *testing.T) {
	srv := startServer(t)
	const mark = "\ufeff"
	post := func(body string, headers ...string) httpResponse {
		return srv.doUndescribed(t, http.MethodPost, "/v1/events", strings.NewReader(body), headers...)
	}
	post(mark+message("c"), "Content-Type", structuredType).accepted(t)
	post(mark+batch(message("c"), message("c")), "Content-Type", batchType).accepted(t)
	post(mark+data("c"), "Content-Type", "application/json",
		"Ce-Specversion", "1.0", "Ce-Id", "e", "Ce-Source", "/r", "Ce-Type", "sessionkeeper.conversation.message").accepted(t)
	require.Equal(t, http.StatusBadRequest, srv.post(t, batchType, "["+mark+message("c")+"]").status)
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

// marker is text of a client that no answer may repeat.
const marker = "mArKeR-7Q"

// Every response must be one that is described.
// Coverage varies from run to run, because the server is concurrent. So fuzz with
// -fuzzminimizetime 1x.
func FuzzEvents(f *testing.F) {
	private := strings.Replace(message("c1"), `"endUserClientId":"`, `"PRIVATE":"PRIVATE","endUserClientId":"PRIVATE`, 1)
	for _, seed := range []string{
		private, batch(private, event("closed", "c1", time.Now())), "[", "null", `{"data_base64":5}`, `{"PRIVATE":1,"PRIVATE":2}`,
		strings.Replace(private, `"orgId":"`, `"orgId":"PRIVATE`, 1), data("c1"), "\xef\xbb\xbf" + private, `{"time":"PRIVATE"}`,
	} {
		for _, mediaType := range []string{structuredType, batchType, "application/json"} {
			f.Add(mediaType, "sessionkeeper.conversation.message", "2026-01-15T09:00:00Z", seed)
		}
	}
	f.Add("application/cloudevents+json;charset=x;charset=y", "PRIVATE", `"PRIVATE`, "{}")
	srv := startServer(f)
	srv.temporal.Fail(func(string) error { return serviceerror.NewPermissionDenied("no", "") })
	f.Fuzz(func(t *testing.T, mediaType, eventType, at, body string) {
		for _, c := range mediaType + eventType + at {
			if c < ' ' || c > '~' {
				return // not a valid header
			}
		}
		got := srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(body), "Content-Type", mediaType,
			"ce-specversion", "1.0", "ce-id", "e", "ce-source", "/r", "ce-type", eventType, "ce-time", at)
		if got.status == http.StatusInternalServerError || strings.Contains(got.body, "PRIVATE") {
			t.Errorf("%q as %q: %s", body, mediaType, got.body)
		}
	})
}
