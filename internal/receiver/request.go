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

// mode is how a request carries its events: CloudEvents' HTTP binding names
// three content modes.
type mode int

const (
	structured mode = iota + 1
	batched
	binary
)

const versionHeader = "Ce-Specversion"

var errMediaType = newProblem(http.StatusUnsupportedMediaType,
	"want Content-Type "+event.ApplicationCloudEventsJSON+" or "+event.ApplicationCloudEventsBatchJSON+
		", or application/json with ce- headers; not compressed")

func modeOf(h http.Header) (mode, error) {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return 0, errMediaType
	}
	var mediaType string
	if given := h.Get("Content-Type"); given != "" {
		var err error
		if mediaType, _, err = mime.ParseMediaType(given); err != nil {
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

// isJSON reports whether a binary event's data is JSON, which it is without a
// media type.
func isJSON(mediaType string) bool {
	return mediaType == "" || mediaType == "application/json" || mediaType == "text/json" ||
		strings.HasSuffix(mediaType, "+json") && !strings.HasPrefix(mediaType, "application/cloudevents")
}

// read returns the events of a request when all of them are good.
func (d *door) read(w http.ResponseWriter, r *http.Request) ([]cloudevent.Event, error) {
	mode, err := modeOf(r.Header)
	if err != nil {
		return nil, err
	}
	text, err := d.body(w, r)
	if err != nil {
		return nil, err
	}
	switch mode {
	case batched:
		return d.readBatch(text)
	case binary:
		return one(readBinary(r.Context(), r.Header, text))
	default:
		return one(cloudevent.Parse(text))
	}
}

// body reads a request's body within the time and size it may have.
func (d *door) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLarge := newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("want at most %d bytes", d.limits.Body))
	if r.ContentLength > d.limits.Body {
		return nil, tooLarge
	}
	var text bytes.Buffer
	text.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead)
	_, err := text.ReadFrom(http.MaxBytesReader(w, r.Body, d.limits.Body))
	if err == nil {
		return text.Bytes(), nil
	}
	var large *http.MaxBytesError
	var slow net.Error
	switch {
	case errors.As(err, &large):
		return nil, tooLarge
	case errors.As(err, &slow) && slow.Timeout():
		return nil, newProblem(http.StatusRequestTimeout, "the body did not arrive in time").with("Connection", "close")
	default:
		return nil, newProblem(http.StatusBadRequest, "the body did not arrive whole").with("Connection", "close")
	}
}

// readBinary reads an event whose attributes are headers.
func readBinary(ctx context.Context, h http.Header, text []byte) (cloudevent.Event, error) {
	if version := h.Get(versionHeader); version != event.CloudEventsVersionV1 {
		return cloudevent.Event{}, &conversation.InvalidError{Fields: []conversation.FieldError{
			{Field: "specversion", Problem: fmt.Sprintf("want %q", event.CloudEventsVersionV1)},
		}}
	}
	message := cehttp.NewMessage(h, io.NopCloser(bytes.NewReader(text)))
	ce, err := binding.ToEvent(ctx, message)
	if err != nil {
		return cloudevent.Event{}, fmt.Errorf("not a CloudEvent: %w", err)
	}
	return cloudevent.From(*ce) //nolint:wrapcheck // it says all there is
}

// one is a request with a single event.
func one(e cloudevent.Event, err error) ([]cloudevent.Event, error) {
	if err != nil {
		p := newProblem(http.StatusBadRequest, "the event is wrong; nothing was told")
		first := 0
		p.list(&first, cloudevent.FieldErrors(err)...)
		return nil, p
	}
	return []cloudevent.Event{e}, nil
}

// readBatch reads each event by itself, so that every wrong one is named. The
// CloudEvents library reads a batch up to the first one.
func (d *door) readBatch(text []byte) ([]cloudevent.Event, error) {
	parts, err := d.split(text)
	if err != nil {
		return nil, err
	}
	batch := make([]cloudevent.Event, len(parts))
	p := newProblem(http.StatusBadRequest, "")
	wrong := 0
	for i, part := range parts {
		if batch[i], err = cloudevent.Parse(part); err != nil {
			wrong++
			p.list(&i, cloudevent.FieldErrors(err)...)
		}
	}
	if wrong > 0 {
		p.Detail = fmt.Sprintf("%d of %d events are wrong; nothing was told", wrong, len(parts))
		return nil, p
	}
	return batch, nil
}

// split cuts a JSON array into its elements.
func (d *door) split(text []byte) ([]json.RawMessage, error) {
	wrong := func(err error) error {
		return newProblem(http.StatusBadRequest, "not a JSON array of CloudEvents: "+err.Error())
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	switch first, err := decoder.Token(); {
	case err != nil:
		return nil, wrong(unexpected(err))
	case first != json.Delim('['):
		return nil, wrong(errors.New("want an array"))
	}
	var parts []json.RawMessage
	for decoder.More() {
		if len(parts) == d.limits.Events {
			return nil, newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("want at most %d events", d.limits.Events))
		}
		var part json.RawMessage
		if err := decoder.Decode(&part); err != nil {
			return nil, wrong(unexpected(err))
		}
		parts = append(parts, part)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, wrong(unexpected(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, wrong(errors.New("something follows it"))
	}
	return parts, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
