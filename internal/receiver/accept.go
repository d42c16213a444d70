package receiver

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// asksForJSON reports whether a client asks for JSON as the answer to accepted
// events. A client of CloudEvents takes any other body than a CloudEvent for a
// failure, so it gets none: also if it accepts anything, or CloudEvents.
func asksForJSON(h http.Header) bool {
	asks := false
	for text := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
		mediaType, parameters, err := mime.ParseMediaType(text)
		if err != nil {
			continue
		}
		accepted := true
		if q, ok := parameters["q"]; ok {
			weight, err := strconv.ParseFloat(q, 64)
			accepted = err == nil && weight > 0
		}
		switch {
		case mediaType == "application/json":
			return accepted
		case strings.HasPrefix(mediaType, "application/cloudevents"):
		case strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json"):
			asks = asks || accepted
		}
	}
	return asks
}
