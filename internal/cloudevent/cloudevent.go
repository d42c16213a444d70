package cloudevent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
)

// attributes are those of a CloudEvent whose type in JSON is checked before the
// CloudEvents library reads them: it does not name the one that is wrong, and
// panics at a data_base64 that is not a string.
type attributes struct {
	SpecVersion     string  `json:"specversion"`
	ID              string  `json:"id"`
	Source          string  `json:"source"`
	Type            string  `json:"type"`
	Time            *string `json:"time"`
	Subject         *string `json:"subject"`
	DataContentType *string `json:"datacontenttype"`
	DataBase64      *string `json:"data_base64"`
	OrgID           *string `json:"orgid"`
}

func parseCloudEvent(text []byte) (event.Event, error) {
	var ce event.Event
	var is attributes
	if err := json.Unmarshal(text, &is); err != nil {
		return ce, wrongType(err)
	}
	if is.SpecVersion != event.CloudEventsVersionV1 {
		return ce, wrongVersion(is.SpecVersion)
	}
	if err := json.Unmarshal(text, &ce); err != nil {
		return ce, withoutContent(err)
	}
	return ce, check(ce)
}

func check(ce event.Event) error {
	if version := ce.SpecVersion(); version != event.CloudEventsVersionV1 {
		return wrongVersion(version)
	}
	if err := ce.Validate(); err != nil {
		return &line{err}
	}
	return nil
}

func wrongVersion(version string) error {
	return &wrong{"specversion", fmt.Sprintf("%.20q", version), fmt.Errorf("want %q", event.CloudEventsVersionV1)}
}

// wrongType says in JSON's words which field is of the wrong type.
func wrongType(err error) error {
	var mistyped *json.UnmarshalTypeError
	if !errors.As(err, &mistyped) {
		return err
	}
	want := "an object"
	switch mistyped.Type.Kind() {
	case reflect.String:
		want = "a string"
	case reflect.Bool:
		want = "true or false"
	default:
	}
	field := mistyped.Field[strings.LastIndex(mistyped.Field, ".")+1:]
	return &wrong{field: cmp.Or(field, "all of it"), cause: fmt.Errorf("want %s, not a JSON %s", want, mistyped.Value)}
}

// withoutContent cuts off what the library shows of the text around an error,
// or of a wrong value: it may be personal data.
func withoutContent(err error) error {
	said, _, _ := strings.Cut(err.Error(), ", error found in #")
	said, _, _ = strings.Cut(said, " value: ")
	return errors.New(said)
}
