package receiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/cloudevent"
)

// contentMode is one of the three content modes of CloudEvents' HTTP binding.
type contentMode int

const (
	structured contentMode = iota + 1
	batched
	binary
)

const versionHeader = "Ce-Specversion"

var errMediaType = newProblem(http.StatusUnsupportedMediaType,
	"want Content-Type "+event.ApplicationCloudEventsJSON+" or "+event.ApplicationCloudEventsBatchJSON+
		", or application/json with ce- headers; not compressed")

func contentModeOf(h http.Header) (contentMode, error) {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return 0, errMediaType
	}
	var mediaType string
	if contentType := h.Get("Content-Type"); contentType != "" {
		var err error
		if mediaType, _, err = mime.ParseMediaType(contentType); err != nil {
			return 0, errMediaType
		}
	}
	switch {
	case mediaType == event.ApplicationCloudEventsJSON:
		return structured, nil
	case mediaType == event.ApplicationCloudEventsBatchJSON:
		return batched, nil
	case h.Get(versionHeader) != "" && isJSON(mediaType):
		return binary, nil
	default:
		return 0, errMediaType
	}
}

// isJSON reports whether the data of an event in binary mode is JSON. Without a
// media type it is.
func isJSON(mediaType string) bool {
	return mediaType == "" || mediaType == "application/json" || mediaType == "text/json" ||
		strings.HasSuffix(mediaType, "+json") && !strings.HasPrefix(mediaType, "application/cloudevents")
}

// decode returns the events of a request if all of them are valid.
func (s *server) decode(w http.ResponseWriter, r *http.Request) ([]cloudevent.Event, error) {
	mode, err := contentModeOf(r.Header)
	if err != nil {
		return nil, err
	}
	body, err := readBody(w, r, s.limits.Body)
	if err != nil {
		return nil, err
	}
	switch mode {
	case batched:
		return decodeBatch(body, s.limits.Events)
	case binary:
		return singleEvent(decodeBinary(r.Context(), r.Header, body))
	default:
		return singleEvent(cloudevent.Parse(body))
	}
}

// readBody reads at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	tooLarge := newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("want at most %d bytes", limit))
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	var body bytes.Buffer
	body.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead)
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		return body.Bytes(), nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge
	}
	// After these errors the rest of the body may still be on its way.
	if network, ok := errors.AsType[net.Error](err); ok && network.Timeout() {
		return nil, newProblem(http.StatusRequestTimeout, "the body did not arrive in time").withHeader("Connection", "close")
	}
	return nil, newProblem(http.StatusBadRequest, "the body is incomplete").withHeader("Connection", "close")
}

// decodeBinary reads an event whose attributes are headers.
func decodeBinary(ctx context.Context, h http.Header, body []byte) (cloudevent.Event, error) {
	if version := h.Get(versionHeader); version != event.CloudEventsVersionV1 {
		return cloudevent.Event{}, &conversation.InvalidError{Fields: []conversation.FieldError{
			{Field: "specversion", Problem: fmt.Sprintf("want %q", event.CloudEventsVersionV1)},
		}}
	}
	message := cehttp.NewMessage(h, io.NopCloser(bytes.NewReader(body)))
	ce, err := binding.ToEvent(ctx, message)
	if err != nil {
		return cloudevent.Event{}, fmt.Errorf("not a CloudEvent: %w", err)
	}
	return cloudevent.From(*ce)
}

const notProcessed = "no event of the request was processed"

func singleEvent(e cloudevent.Event, err error) ([]cloudevent.Event, error) {
	if err != nil {
		p := newProblem(http.StatusBadRequest, "the event is invalid; "+notProcessed)
		p.addFields(new(int), cloudevent.FieldErrors(err)...)
		return nil, p
	}
	return []cloudevent.Event{e}, nil
}

// decodeBatch reads each event separately, so that the response lists all invalid
// ones. The CloudEvents library stops at the first.
func decodeBatch(body []byte, maxEvents int) ([]cloudevent.Event, error) {
	elements, err := splitArray(body, maxEvents)
	if err != nil {
		return nil, err
	}
	batch := make([]cloudevent.Event, len(elements))
	p := newProblem(http.StatusBadRequest, "")
	invalid := 0
	for i, element := range elements {
		if batch[i], err = cloudevent.Parse(element); err != nil {
			invalid++
			p.addFields(&i, cloudevent.FieldErrors(err)...)
		}
	}
	if invalid > 0 {
		p.Detail = fmt.Sprintf("%d of %d events are invalid; %s", invalid, len(elements), notProcessed)
		return nil, p
	}
	return batch, nil
}

// splitArray returns the elements of a JSON array.
func splitArray(body []byte, maxElements int) ([]json.RawMessage, error) {
	notArray := func(err error) error {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return newProblem(http.StatusBadRequest, "not a JSON array of CloudEvents: "+err.Error())
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	switch first, err := decoder.Token(); {
	case err != nil:
		return nil, notArray(err)
	case first != json.Delim('['):
		return nil, notArray(errors.New("want an array"))
	}
	var elements []json.RawMessage
	for decoder.More() {
		if len(elements) == maxElements {
			return nil, newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("want at most %d events", maxElements))
		}
		var element json.RawMessage
		if err := decoder.Decode(&element); err != nil {
			return nil, notArray(err)
		}
		elements = append(elements, element)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, notArray(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, notArray(errors.New("text after the array"))
	}
	return elements, nil
}
