package workflows

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.temporal.io/sdk/converter"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/seal"
	"sessionkeeper/internal/strictjson"
)

// Any client of Temporal can send any bytes. These functions read them without an
// error of the SDK, which would fail the workflow task.

var errNotJSON = errors.New("it is not JSON")

// maxPayload is the largest payload that is read. The largest valid one has less
// than 10 KB.
const maxPayload = 64 << 10

// read reads and checks a payload.
func read(raw converter.RawValue, into any) error {
	if err := readJSON(raw, into); err != nil {
		return err
	}
	if checked, ok := into.(interface{ Validate() error }); ok {
		return checked.Validate()
	}
	return nil
}

// requireKey fails the workflow task if a payload is sealed with a key that this worker
// does not have. Temporal repeats the task until the key is there, so nothing is lost. To
// fail a task and not the workflow, the SDK has only a panic.
func requireKey(raw converter.RawValue) {
	if err := seal.Check(raw); err != nil {
		panic(err)
	}
}

func readJSON(raw converter.RawValue, into any) error {
	requireKey(raw)
	payload := raw.Payload()
	if string(payload.GetMetadata()[converter.MetadataEncoding]) != converter.MetadataEncodingJSON {
		return errNotJSON
	}
	if _, isState := into.(*State); !isState && len(payload.GetData()) > maxPayload {
		return fmt.Errorf("it has more than %d bytes", maxPayload)
	}
	return decode(payload.GetData(), into)
}

// decode reads JSON. The result depends on the text alone, but the checker finds the
// garbage collector behind encoding/json.
func decode(text []byte, into any) error {
	return json.Unmarshal(text, into) //workflowcheck:ignore
}

// isEmpty reports whether a signal has no payload, or null.
func isEmpty(raw converter.RawValue) bool {
	payload := raw.Payload()
	return payload == nil || len(payload.GetData()) == 0 || string(payload.GetData()) == "null"
}

// messageOfNow is what counts instead of a message that cannot be read.
func messageOfNow(converter.RawValue) (conversation.Message, bool) {
	return conversation.Message{}, true
}

// closeOfNow is what counts instead of a close that cannot be read, if by and
// sessionId can be: the same close, as of now.
func closeOfNow(raw converter.RawValue) (c conversation.Close, ok bool) {
	var fields struct {
		By        json.RawMessage `json:"by"`
		SessionID json.RawMessage `json:"sessionId"`
	}
	text := raw.Payload().GetData()
	if !isObject(raw) || strictjson.Unmarshal(text, &fields) != nil { //workflowcheck:ignore it only reads
		return c, false
	}
	if fields.SessionID != nil && decode(fields.SessionID, &c.SessionID) != nil {
		return c, false
	}
	if decode(fields.By, &c.By) != nil || c.By != conversation.EndUser {
		c.By = conversation.System
	}
	return c, c.Validate() == nil
}

func isObject(raw converter.RawValue) bool {
	var object map[string]json.RawMessage
	return readJSON(raw, &object) == nil && object != nil
}

// retryWithoutPayload accepts a retry without a payload, as the command line of
// Temporal sends it.
func retryWithoutPayload(raw converter.RawValue) (conversation.Retry, bool) {
	return conversation.Retry{}, isEmpty(raw)
}

// unreadable says which payload could not be read, and which field was wrong. It
// does not contain the decoder's own error, which repeats the value: a value may
// be personal data.
func unreadable(what string, err error) error {
	if _, ok := errors.AsType[*conversation.InvalidError](err); ok || errors.Is(err, errNotJSON) {
		return fmt.Errorf("%s cannot be read: %w", what, err)
	}
	return fmt.Errorf("%s cannot be read: it is not the expected JSON", what)
}
