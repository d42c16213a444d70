package simulator

import (
	"fmt"
	"time"
)

// Duration is a time.Duration written as a string such as "1.5s" or "10m" in
// JSON and YAML.
type Duration time.Duration

// MarshalText writes d as time.Duration does: "2s".
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %q: want a number with a unit, such as \"2s\"", text)
	}
	*d = Duration(parsed)
	return nil
}
