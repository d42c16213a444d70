package receiver_test

import (
	"net/http"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
)

// Whatever is sent, the answer is one of those that are described.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{message("c1"), batch(message("c1"), event("closed", "c1", time.Now())), "[", "null", `{"data_base64":5}`} {
		f.Add(one, seed)
		f.Add(many, seed)
	}
	f.Add("application/cloudevents+json;charset=x;charset=y", "{}")
	d := open(f)
	d.temporal.Fail(func(string) error { return serviceerror.NewPermissionDenied("not now", "") })
	f.Fuzz(func(t *testing.T, mediaType, body string) {
		for _, c := range mediaType {
			if c < ' ' || c > '~' {
				return // no header
			}
		}
		if got := d.post(t, mediaType, body); got.status == http.StatusInternalServerError {
			t.Errorf("%q as %q: %s", body, mediaType, got.body)
		}
	})
}
