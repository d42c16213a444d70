package cloudevent_test

import (
	"bytes"
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
			ID: "ev-1", Source: "/routing", Type: cloudevent.TypeStarted, At: at, Identity: identity,
			Policy: conversation.Policy{EndAfter: new(conversation.Duration(0))},
		}, got)
	})
	t.Run("message with unknown fields", func(t *testing.T) {
		got, err := cloudevent.Parse(cloudEvent(t, object{
			"traceparent": "00-1", "data": object{"text": "hello", "more": object{"a": 1}},
		}))
		require.NoError(t, err)
		require.Equal(t, cloudevent.Event{
			ID: "ev-1", Source: "/routing", Type: cloudevent.TypeMessage, At: at, Identity: identity,
		}, got)
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
	t.Run("valid times", func(t *testing.T) {
		for text, want := range map[string]time.Time{
			"2026-01-15t09:00:00.5z":      at,
			"2026-01-15T10:00:00.5+01:00": at,
			"2016-12-31T23:59:60Z":        time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC),
		} {
			got, err := cloudevent.Parse(cloudEvent(t, object{"time": text}))
			require.NoError(t, err)
			require.Equal(t, want, got.At)
		}
	})
	t.Run("types of JSON data", func(t *testing.T) {
		for _, mediaType := range []string{
			"application/json", "text/json", "application/vnd.vendor.chat+json;v=1", `Application/JSON; charset="UTF-8"`,
		} {
			got, err := cloudevent.Parse(cloudEvent(t, object{"datacontenttype": mediaType}))
			require.NoError(t, err, mediaType)
			require.Equal(t, identity, got.Identity)
		}
	})
	t.Run("extension attributes", func(t *testing.T) {
		_, err := cloudevent.Parse(cloudEvent(t, object{"count": 5, "flag": true, "traceParent": "00-1"}))
		require.NoError(t, err)
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
	const statusAttributes = `"specversion":"1.0","id":"1","source":"/r",` +
		`"type":"sessionkeeper.conversation.session-status","orgid":"00D000000000001"`
	const validData = `{"orgId":"00D000000000001","authorizationContext":"P","channelAddressIdentifier":"8f5d",` +
		`"endUserClientId":"u","conversationIdentifier":"c1"}`
	byteText := func(parts ...string) func(*testing.T) []byte { return text(strings.Join(parts, "")) }

	for want, line := range map[string]func(*testing.T) []byte{
		"event is not valid JSON":                           text(``),
		"event has more than one JSON value":                text(`{} {"id":"` + phone + `"}`),
		"event must be an object, not a JSON array":         text(`["` + phone + `"]`),
		"specversion must be \"1.0\"":                       event(object{"specversion": phone}),
		"specversion must be a string":                      event(object{"specversion": 1}),
		"id is missing":                                     event(object{"id": nil}),
		"source is missing":                                 event(object{"source": " "}),
		"source must be a URI reference":                    event(object{"source": "%" + phone}),
		"type is missing":                                   event(object{"type": ""}),
		"type must be sessionkeeper.conversation.started, ": event(object{"type": phone}),
		"time must be a time in RFC 3339":                   event(object{"time": "2026-11-25T13:25:16+0000"}),
		"time must be a time in RFC":                        event(object{"time": ""}),
		"time must be a time of the years 1970":             event(object{"time": "0001-01-01T00:00:00Z"}),
		"time must be a time":                               event(object{"time": "2026-11-25T13:25:16+24:00"}),
		"time must be a string":                             event(object{"time": 1768467600}),
		"id must be a string":                               event(object{"id": 15550100001}),
		"subject has more than 1024 characters":             event(object{"subject": strings.Repeat(phone, 100)}),
		"id has more than 1024 characters":                  event(object{"id": strings.Repeat(phone, 100)}),
		"source contains control characters":                event(object{"source": "/\u009b" + phone}),
		"event has an extension attribute that has more":    event(object{"traceparent": strings.Repeat(phone, 100)}),
		"event has an extension attribute that has a name":  event(object{"enduser_" + phone: "1"}),
		"event has an extension attribute that is not a":    event(object{"enduser": object{"id": phone}}),
		"orgid is spelled with other":                       event(object{"orgId": "00D000000000001"}),
		"id is spelled with other":                          event(object{"ID": phone}),
		"datacontenttype must be application/json":          event(object{"datacontenttype": "text/plain", "data": phone}),
		"datacontenttype must be application":               event(object{"datacontenttype": "application/json; charset=latin1"}),
		"datacontenttype must be":                           event(object{"datacontenttype": "application/cloudevents+json"}),
		"datacontenttype must":                              event(object{"datacontenttype": ""}),
		"data is missing":                                   event(object{"data": nil}),
		"data must be an object, not a JSON string":         event(object{"data": phone}),
		"data_base64 must be a string":                      text(`{` + attributes + `,"data_base64":5}`),
		"data_base64 must be base64":                        text(`{` + attributes + `,"data_base64":"%%%"}`),
		"data occurs twice, or beside data_base64":          text(`{` + attributes + `,"data_base64":"e30=","data":{}}`),
		"data is not valid JSON":                            text(`{` + attributes + `,"data_base64":"aGVsbG8="}`),
		"endUserClientId is not valid UTF-8":                text(`{` + attributes + `,"data":{"endUserClientId":"caf` + "\xe9" + phone + `"}}`),
		"endUserClientId is not valid":                      text(`{` + attributes + `,"data":{"endUserClientId":"\ud800` + phone + `"}}`),
		"data is not valid UTF-8":                           text(`{` + attributes + `,"data":{"` + phone + `":["` + "\xff" + `"]}}`),
		"source is not valid UTF-8":                         byteText("{", strings.Replace(attributes, "/r", "/\xff", 1), `,"data":`, validData, "}"),
		"event is not valid UTF-8":                          byteText("{", attributes, `,"more":"`+"\xff"+`","data":`, validData, "}"),
		"id occurs twice":                                   byteText("{", attributes, `,"id":"2","data":`, validData, "}"),
		"orgId occurs twice":                                byteText("{", attributes, `,"data":`, validData[:len(validData)-1], `,"orgId":"`, phone, `"}}`),
		"orgId is spelled with other":                       data(object{"OrgID": phone}),
		"event has two names that differ only in case":      event(object{"traceid": "1", "traceID": phone}),
		"endUserClientId must be a string, not a JSON":      data(object{"endUserClientId": 15550100001}),
		"orgId must be the 15-character form":               data(object{"orgId": "00D000000000001AAA"}),
		"authorizationContext must be":                      data(object{"authorizationContext": "1 2"}),
		"channelAddressIdentifier is missing":               data(object{"channelAddressIdentifier": nil}),
		"endUserClientId is missing":                        data(object{"endUserClientId": nil}),
		"endUserClientId has more than":                     data(object{"endUserClientId": strings.Repeat(phone, 100)}),
		"conversationIdentifier is missing":                 data(object{"conversationIdentifier": ""}),
		"sessionId must be":                                 data(object{"sessionId": "0Mw"}),
		"by must be EndUser or System":                      data(object{"by": "Agent"}),
		"policy has an unknown field":                       data(object{"policy": object{"inactive" + phone: "5m"}}),
		"policy must be an object":                          data(object{"policy": phone}),
		"policy.endAfter must be a duration such as":        data(object{"policy": object{"endAfter": 5}}),
		"policy.endAfter must be a duration":                data(object{"policy": object{"endAfter": phone}}),
		"policy.endAfter is spelled with other":             data(object{"policy": object{"endafter": "5m"}}),
		"policy.endOnCancel must be true or false":          data(object{"policy": object{"endOnCancel": "yes"}}),
		"policy.blockedFor must not":                        data(object{"policy": object{"blockedFor": "-1s"}}),
		"orgid is missing: it names the org":                status(object{"orgid": nil}),
		"orgid must be a string":                            status(object{"orgid": 5}),
		"orgId must be the org's 15-character":              status(object{"orgid": "00D"}),
		"sessionId is missing":                              status(object{"data": object{"sessionId": nil}}),
		"sessionStatus is missing":                          status(object{"data": object{"sessionStatus": nil}}),
		"sessionStatus must be a string":                    status(object{"data": object{"sessionStatus": 15550100001}}),
		"sessionEndTime must be a time":                     status(object{"data": object{"sessionEndTime": phone}}),
		"sessionEndTime is spelled with other":              status(object{"data": object{"sessionendtime": 1768467600000}}),
		"at must be a time":                                 status(object{"data": object{"at": phone}}),
		"data must be a JSON object":                        text(`{` + statusAttributes + `,"data":5}`),
	} {
		t.Run(want, func(t *testing.T) {
			_, err := cloudevent.Parse(line(t))
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "5550100001", "the error repeats what was sent")
			require.NotContains(t, err.Error(), "\n")
			require.ErrorAs(t, err, new(*conversation.InvalidError))
		})
	}
	_, err := cloudevent.Parse(cloudEvent(t, object{"data": object{"orgId": nil, "by": "Agent"}}))
	require.ErrorContains(t, err, "orgId must be")
	require.ErrorContains(t, err, "by must be", "all errors are reported at once")
}

func TestErrorIsBounded(t *testing.T) {
	var line strings.Builder
	line.WriteString("{")
	for i := range 100_000 {
		fmt.Fprintf(&line, `"_%d":5,`, i)
	}
	line.WriteString(`"id":"1"}`)
	_, err := cloudevent.Parse([]byte(line.String()))
	require.ErrorContains(t, err, "an extension attribute")
	require.Less(t, len(err.Error()), 1000)
}

// marker is text of a client that no answer may repeat.
const marker = "mArKeR-7Q"

// The errors repeat nothing of a text, and an accepted event has the identity that
// every other reader of the text sees.
func FuzzParse(f *testing.F) {
	const attributes = `"specversion":"1.0","id":"` + marker + `","source":"/` + marker + `","time":"2026-01-15t09:00:60z"`
	const data = `{"orgId":"00D000000000001","authorizationContext":"P1","channelAddressIdentifier":"` + marker + `",` +
		`"endUserClientId":"` + marker + `","conversationIdentifier":"` + marker + `","sessionId":"0Mw000000000001",` +
		`"policy":{"endAfter":"5m","blockedFor":"` + marker + `"},"by":"EndUser"}`
	const status = `{"sessionId":"0Mw000000000001","conversationIdentifier":"` + marker + `","sessionStatus":"Ended",` +
		`"sessionEndTime":1573503300,"sessionStartTime":"` + marker + `","at":"` + marker + `"}`
	const of = `,"type":"sessionkeeper.conversation.`
	for _, seed := range []string{
		`{` + attributes + of + `message","data":` + strings.Replace(data, `"blockedFor":"`+marker+`"`, `"endOnCancel":true`, 1) + `}`,
		`{` + attributes + of + `started","data":` + data + `}`,
		`{` + attributes + of + `closed","datacontenttype":"a/` + marker + `+json","data":` + data + `}`,
		`{` + attributes + of + `session-status","orgid":"00D000000000001","data":` + status + `}`,
		`{"data":` + data + `,"` + marker + `":{"` + marker + `":"\ud800"},` + attributes + of + `message"}`,
		`{` + attributes + of + `message","data_base64":"e30=","ID":"` + marker + `","` + marker + `":1}`,
		`{"specversion":"` + marker + `","id":"1","source":"/%` + marker + `","type":"` + marker + `","data_base64":null}`,
		`{"data_base64":5,"specversion":"1.0"}`, `{"specversion":"1.0","":1}`, `{"specversion":"1.0","specversion":"1.0"}`,
		"\ufeff{}", "\xff\xfe{\x00", "[" + marker, "\x00", marker,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := cloudevent.Parse(line)
		if err != nil {
			require.NotContains(t, err.Error(), marker)
			require.Less(t, len(err.Error()), 4096)
			require.NotEmpty(t, cloudevent.FieldErrors(err))
			return
		}
		requireSameIdentity(t, line, e)
		_, err = json.Marshal(e)
		require.NoError(t, err)
	})
}

// requireSameIdentity requires that another reader of an accepted event sees the
// same identity.
func requireSameIdentity(t *testing.T, line []byte, e cloudevent.Event) {
	t.Helper()
	var read struct {
		OrgID      string         `json:"orgid"`
		Data       map[string]any `json:"data"`
		DataBase64 []byte         `json:"data_base64"`
	}
	require.NoError(t, json.Unmarshal(line, &read))
	if read.Data == nil {
		require.NoError(t, json.Unmarshal(bytes.TrimPrefix(read.DataBase64, []byte("\ufeff")), &read.Data))
	}
	encoded, err := json.Marshal(e.Identity)
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(encoded, &got))
	if e.Type == cloudevent.TypeSessionStatus {
		read.Data["orgId"] = read.OrgID
	}
	for name, value := range got {
		require.Equal(t, read.Data[name], value, name)
	}
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
