package receiver

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"sessionkeeper/internal/cloudevent"
)

// contentMode is one of the three content modes of CloudEvents' HTTP binding.
type contentMode int

const (
	structured contentMode = iota + 1
	batched
	binary
)

const (
	structuredType = "application/cloudevents+json"
	batchType      = "application/cloudevents-batch+json"
)

var errMediaType = newProblem(http.StatusUnsupportedMediaType, "want Content-Type "+structuredType+" or "+batchType+
	", or application/json with ce- headers; in UTF-8, not compressed")

func contentModeOf(h http.Header) (contentMode, error) {
	coding, contentType := h.Values("Content-Encoding"), h.Values("Content-Type")
	if len(contentType) > 1 || len(coding) > 1 || len(coding) == 1 && !strings.EqualFold(coding[0], "identity") {
		return 0, errMediaType
	}
	// Without a media type the data of an event in binary mode is JSON.
	value := cmp.Or(h.Get("Content-Type"), "application/json")
	mediaType, parameters, err := mime.ParseMediaType(value)
	switch {
	case err != nil, !cloudevent.IsUTF8(parameters["charset"]):
		return 0, errMediaType
	case mediaType == structuredType:
		return structured, nil
	case mediaType == batchType:
		return batched, nil
	case h.Get(headerPrefix+"Specversion") != "" && cloudevent.IsJSON(value):
		return binary, nil
	default:
		return 0, errMediaType
	}
}

// decode returns the events of a request if all of them are valid.
func (s *server) decode(
	w http.ResponseWriter, r *http.Request, c *caller, memory *allocation,
) ([]cloudevent.Event, error) {
	mode, err := contentModeOf(r.Header)
	if err != nil {
		return nil, err
	}
	body, err := c.readBody(w, r, s.limits.Body, memory)
	if err != nil {
		return nil, err
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff")) // a byte order mark
	switch mode {
	case batched:
		return decodeBatch(body, s.limits.Events)
	case binary:
		return singleEvent(decodeBinary(r.Header, body))
	default:
		return singleEvent(cloudevent.Parse(body))
	}
}

// readBody reads at most limit bytes, as far as the token's quota allows them and has
// memory for them.
func (c *caller) readBody(w http.ResponseWriter, r *http.Request, limit int64, memory *allocation) ([]byte, error) {
	tooLarge := newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("want at most %d bytes", limit))
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	if r.ContentLength > 0 {
		if err := c.admitBytes(time.Now(), int(r.ContentLength)); err != nil {
			return nil, err
		}
	}
	if !memory.take(bytesPerRequest) {
		return nil, errMemory().withHeader("Connection", "close")
	}
	body, err := io.ReadAll(metered{http.MaxBytesReader(w, r.Body, limit), memory})
	if err == nil && r.ContentLength < 0 {
		return body, c.admitBytes(time.Now(), len(body))
	}
	if err == nil {
		return body, nil
	}
	if p, ok := errors.AsType[*problem](err); ok {
		return nil, p.withHeader("Connection", "close")
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

// metered reads a body, and takes memory for it.
type metered struct {
	body   io.Reader
	memory *allocation
}

// Read implements io.Reader.
func (m metered) Read(to []byte) (int, error) {
	n, err := m.body.Read(to)
	if !m.memory.take(int64(n)) {
		return 0, errMemory()
	}
	return n, err
}

func errMemory() *problem { return tooMany("used up by the bodies of its requests") }

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
// ones.
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

// splitArray returns the elements of a JSON array. Whether they are strict JSON is
// checked for each of them.
func splitArray(body []byte, maxElements int) ([][]byte, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(body),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	notArray := newProblem(http.StatusBadRequest, "the body is not a JSON array of CloudEvents; "+notProcessed)
	if first, err := decoder.ReadToken(); err != nil || first.Kind() != '[' {
		return nil, notArray
	}
	var elements [][]byte
	for decoder.PeekKind() != ']' {
		if len(elements) == maxElements {
			return nil, newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("want at most %d events", maxElements))
		}
		element, err := decoder.ReadValue()
		if err != nil {
			return nil, notArray
		}
		elements = append(elements, element.Clone())
	}
	if _, err := decoder.ReadToken(); err != nil {
		return nil, notArray
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, notArray
	}
	return elements, nil
}
