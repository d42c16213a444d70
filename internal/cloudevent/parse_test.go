package cloudevent_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/cloudevent"
)

type object = map[string]any

const phone = "+15550100001"

// cloudEvent returns a valid event with some fields replaced; nil removes a field.
func cloudEvent(t *testing.T, changes object) []byte {
	t.Helper()
	e := object{
		"specversion": "1.0", "id": "ev-1", "source": "/routing", "type": cloudevent.TypeMessage,
		"time": "2026-01-15T09:00:00.5Z",
		"data": object{
			"orgId": "00D000000000001", "authorizationContext": "Partner1_ChannelDefinition1",
			"channelAddressIdentifier": "8f5d1c1e", "endUserClientId": phone, "conversationIdentifier": "c1",
			"sessionId": "0Mw000000000001",
		},
	}
	replaceFields(e, changes)
	text, err := json.Marshal(e)
	require.NoError(t, err)
	return text
}

func replaceFields(into, changes object) {
	for name, value := range changes {
		inner, ok := value.(object)
		before, had := into[name].(object)
		switch {
		case value == nil:
			delete(into, name)
		case ok && had:
			replaceFields(before, inner)
		default:
			into[name] = value
		}
	}
}

// statusEvent returns a session-status event: its data is Salesforce's own entry.
func statusEvent(t *testing.T, changes object) []byte {
	t.Helper()
	all := object{"type": cloudevent.TypeSessionStatus, "orgid": "00D000000000001", "data": object{
		"orgId": nil, "authorizationContext": nil, "endUserClientId": nil,
		"sessionStatus": "Ended", "sessionEndedByRole": "Agent", "sessionEndTime": 1768467600000,
	}}
	for name, value := range changes {
		if inner, ok := value.(object); ok {
			maps.Copy(all["data"].(object), inner)
			continue
		}
		all[name] = value
	}
	return cloudEvent(t, all)
}

func TestParse(t *testing.T) {
	at := time.Date(2026, 1, 15, 9, 0, 0, 5e8, time.UTC)
	identity := conversation.Identity{
		OrgID: "00D000000000001", AuthorizationContext: "Partner1_ChannelDefinition1",
		ChannelAddressIdentifier: "8f5d1c1e", EndUserClientID: phone, ConversationIdentifier: "c1",
		SessionID: "0Mw000000000001",
	}
	t.Run("started", func(t *testing.T) {
		policy := object{"policy": object{"endAfter": "0s"}}
		got, err := cloudevent.Parse(cloudEvent(t, object{"type": cloudevent.TypeStarted, "data": policy}))
		require.NoError(t, err)
		require.Equal(t, cloudevent.Event{
			ID: "ev-1", Type: cloudevent.TypeStarted, At: at, Identity: identity,
			Policy: conversation.Policy{EndAfter: new(conversation.Duration(0))},
		}, got)
	})
	t.Run("message with unknown fields", func(t *testing.T) {
		got, err := cloudevent.Parse(cloudEvent(t, object{
			"traceparent": "00-1", "data": object{"text": "hello", "more": object{"a": 1}},
		}))
		require.NoError(t, err)
		require.Equal(t, cloudevent.Event{ID: "ev-1", Type: cloudevent.TypeMessage, At: at, Identity: identity}, got)
	})
	t.Run("closed", func(t *testing.T) {
		got, err := cloudevent.Parse(cloudEvent(t, object{"type": cloudevent.TypeClosed, "data": object{"by": "EndUser"}}))
		require.NoError(t, err)
		require.Equal(t, conversation.EndUser, got.By)
	})
	t.Run("session-status", func(t *testing.T) {
		got, err := cloudevent.Parse(statusEvent(t, nil))
		require.NoError(t, err)
		require.Equal(t, conversation.Identity{
			OrgID: "00D000000000001", ChannelAddressIdentifier: "8f5d1c1e", ConversationIdentifier: "c1",
			SessionID: "0Mw000000000001",
		}, got.Identity)
		require.Equal(t, "Ended", got.Status.Status)
		require.Equal(t, "Agent", got.Status.EndedByRole)
		require.Equal(t, at, got.Status.At)
		require.Equal(t, at.Truncate(time.Second), got.Status.EndTime.UTC())
	})
	t.Run("without a time", func(t *testing.T) {
		got, err := cloudevent.Parse(cloudEvent(t, object{"time": nil}))
		require.NoError(t, err)
		require.True(t, got.At.IsZero())
	})
	t.Run("data_base64", func(t *testing.T) {
		var e object
		require.NoError(t, json.Unmarshal(cloudEvent(t, nil), &e))
		data, err := json.Marshal(e["data"])
		require.NoError(t, err)
		got, err := cloudevent.Parse(cloudEvent(t, object{"data": nil, "data_base64": data}))
		require.NoError(t, err)
		require.Equal(t, identity, got.Identity)
	})
	t.Run("large, with fields that are not read", func(t *testing.T) {
		got, err := cloudevent.Parse(cloudEvent(t, object{"data": object{"transcript": strings.Repeat("x", 4<<20)}}))
		require.NoError(t, err)
		require.Equal(t, identity, got.Identity)
	})
}

func TestParseErrorNamesField(t *testing.T) {
	event := func(changes object) func(*testing.T) []byte {
		return func(t *testing.T) []byte { t.Helper(); return cloudEvent(t, changes) }
	}
	data := func(changes object) func(*testing.T) []byte { return event(object{"data": changes}) }
	status := func(changes object) func(*testing.T) []byte {
		return func(t *testing.T) []byte { t.Helper(); return statusEvent(t, changes) }
	}
	text := func(line string) func(*testing.T) []byte { return func(*testing.T) []byte { return []byte(line) } }
	const attributes = `"specversion":"1.0","id":"1","source":"/r","type":"sessionkeeper.conversation.message"`

	withTextData := `{` + attributes + `,"datacontenttype":"text/plain","data":{"id":"` + phone + `"}}`
	for want, line := range map[string]func(*testing.T) []byte{
		"not a CloudEvent: unexpected end of JSON input":      text(``),
		"not a CloudEvent: invalid character 'h'":             text(`hello`),
		"not a CloudEvent: invalid character '\\x00'":         text("{\x00}"),
		"not a CloudEvent: want an object, not a JSON array":  text(`["` + phone + `"]`),
		`not a CloudEvent: specversion "": want "1.0"`:        text(`null`),
		`not a CloudEvent: specversion "0.3": want "1.0"`:     event(object{"specversion": "0.3"}),
		"specversion: want a string, not a JSON number":       event(object{"specversion": 1}),
		"not a CloudEvent: id: MUST be a non-empty":           event(object{"id": nil}),
		"not a CloudEvent: source: REQUIRED":                  event(object{"source": nil}),
		"not a CloudEvent: type: MUST be a non-empty":         event(object{"type": nil}),
		`type "other": want sessionkeeper.conversation.`:      event(object{"type": "other"}),
		`cannot convert "yesterday" to time.Time`:             event(object{"time": "yesterday"}),
		"time: want a string, not a JSON number":              event(object{"time": 1768467600}),
		"not a CloudEvent: invalid CloudEvents":               event(object{"enduserclientid": object{"id": phone}}),
		"expected a string: ReadString":                       event(object{"datacontenttype": "text/plain"}),
		"not a CloudEvent: unexpected data payload":           text(withTextData),
		"data: is missing":                                    event(object{"data": nil}),
		"data: want an object, not a JSON string":             event(object{"data": phone}),
		"data_base64: want a string, not a JSON number":       text(`{` + attributes + `,"data_base64":5}`),
		"not a CloudEvent: illegal base64 data":               text(`{` + attributes + `,"data_base64":"%%%"}`),
		"data: invalid character":                             text(`{` + attributes + `,"data_base64":"aGVsbG8="}`),
		"data: endUserClientId: want a string":                data(object{"endUserClientId": 15550100001}),
		"data: invalid: orgId must be":                        data(object{"orgId": "00D000000000001AAA"}),
		"data: invalid: authorizationContext must be":         data(object{"authorizationContext": "1 2"}),
		"data: invalid: channelAddressIdentifier is missing":  data(object{"channelAddressIdentifier": nil}),
		"data: invalid: endUserClientId is missing":           data(object{"endUserClientId": nil}),
		"data: invalid: endUserClientId has more than":        data(object{"endUserClientId": strings.Repeat(phone, 100)}),
		"data: invalid: conversationIdentifier is missing":    data(object{"conversationIdentifier": ""}),
		"data: invalid: sessionId must be":                    data(object{"sessionId": "0Mw"}),
		"data: invalid: by must be EndUser or System":         data(object{"by": "Agent"}),
		`data: policy: json: unknown field "inactiveAfter"`:   data(object{"policy": object{"inactiveAfter": "5m"}}),
		`data: policy: duration: want a string such as`:       data(object{"policy": object{"endAfter": 5}}),
		"data: policy: endOnCancel: want true or false":       data(object{"policy": object{"endOnCancel": "yes"}}),
		"data: invalid: policy.blockedFor must not":           data(object{"policy": object{"blockedFor": "-1s"}}),
		`data: the extension attribute "orgid" is missing`:    status(object{"orgid": nil}),
		"orgid: want a string, not a JSON number":             status(object{"orgid": 5}),
		"data: invalid: orgId must be the org's 15-character": status(object{"orgid": "00D"}),
		"data: invalid: sessionId is missing":                 status(object{"data": object{"sessionId": nil}}),
		"data: invalid: sessionStatus is missing":             status(object{"data": object{"sessionStatus": nil}}),
		`data: time: want RFC 3339 or milliseconds`:           status(object{"data": object{"sessionEndTime": "noon"}}),
	} {
		t.Run(want, func(t *testing.T) {
			_, err := cloudevent.Parse(line(t))
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "5550100001", "personal data in an error")
			require.NotContains(t, err.Error(), "\n")
		})
	}
	_, err := cloudevent.Parse(cloudEvent(t, object{"data": object{"orgId": nil, "by": "Agent"}}))
	require.ErrorContains(t, err, "orgId must be")
	require.ErrorContains(t, err, "by must be", "all errors are reported at once")
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"specversion":"1.0","id":"1","source":"/r","type":"t","data_base64":null}`,
		`{"data_base64":5,"specversion":"1.0"}`, `{"specversion":"1.0","":1}`, `{"specversion":"1.0","specversion":"1.0"}`,
		`[`, "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, line []byte) { _, _ = cloudevent.Parse(line) })
}

func BenchmarkParse(b *testing.B) {
	line := fmt.Appendf(nil, `{"specversion":"1.0","id":"ev-1","source":"/routing","type":%q,`+
		`"time":"2026-01-15T09:00:00Z","data":{`+
		`"orgId":"00D000000000001","authorizationContext":"Partner1_ChannelDefinition1",`+
		`"channelAddressIdentifier":"8f5d1c1e-2f0a-4c58-9a34-6b1c0d2e7f01",`+
		`"endUserClientId":%q,"conversationIdentifier":"c1","sessionId":"0Mw000000000001"}}`, cloudevent.TypeMessage, phone)
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := cloudevent.Parse(line); err != nil {
			b.Fatal(err)
		}
	}
}
