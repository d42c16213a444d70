package events

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
		return ce, fmt.Errorf("specversion %.20q: want %q", is.SpecVersion, event.CloudEventsVersionV1)
	}
	if err := json.Unmarshal(text, &ce); err != nil {
		return ce, withoutContent(err)
	}
	if err := ce.Validate(); err != nil {
		return ce, oneLine(err)
	}
	return ce, nil
}

// wrongType says in JSON's words which field is of the wrong type.
func wrongType(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	want := "an object"
	switch wrong.Type.Kind() {
	case reflect.String:
		want = "a string"
	case reflect.Bool:
		want = "true or false"
	default:
	}
	field := wrong.Field[strings.LastIndex(wrong.Field, ".")+1:]
	return fmt.Errorf("%s: want %s, not a JSON %s", cmp.Or(field, "all of it"), want, wrong.Value)
}

// withoutContent cuts off what the library shows of the text around an error,
// or of a wrong value: it may be personal data.
func withoutContent(err error) error {
	said, _, _ := strings.Cut(err.Error(), ", error found in #")
	said, _, _ = strings.Cut(said, " value: ")
	return errors.New(said)
}
