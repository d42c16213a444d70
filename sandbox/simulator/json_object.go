package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// object is a JSON object as it was written: names keep their case and order,
// which encoding/json would not insist on.
type object struct {
	names   []string
	strings map[string]string
}

// readObject reads exactly one JSON object of string fields. With an error it
// still returns the fields that were readable.
func readObject(body []byte) (object, error) {
	o := object{strings: map[string]string{}}
	if !utf8.Valid(body) {
		return o, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return o, errors.New("not a JSON object")
	}
	var errs []error
	for dec.More() {
		name, value, err := readField(dec)
		if err != nil {
			return o, err
		}
		if _, twice := o.strings[name]; twice {
			errs = append(errs, fmt.Errorf("%s given twice", name))
		}
		o.names = append(o.names, name)
		text, isString := value.(string)
		if !isString {
			errs = append(errs, fmt.Errorf("%s is not a string", name))
		}
		o.strings[name] = text
	}
	if _, err := dec.Token(); err != nil {
		return o, errors.New("malformed JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		errs = append(errs, errors.New("more than one JSON value"))
	}
	return o, errors.Join(errs...)
}

func readField(dec *json.Decoder) (name string, value any, err error) {
	key, err := dec.Token()
	if err != nil {
		return "", nil, errors.New("malformed JSON")
	}
	if err := dec.Decode(&value); err != nil {
		return "", nil, errors.New("malformed JSON")
	}
	name, _ = key.(string)
	return name, value, nil
}
