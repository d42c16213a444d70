// Package connection reads how to connect to Temporal, for every program.
package connection

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"

	"sessionkeeper/internal/seal"
)

// These variables of the environment say where the keys are that encrypt payloads.
const (
	// KeysFileVariable is the name of a file.
	KeysFileVariable = "SESSIONKEEPER_KEYS_FILE"
	// KeysVariable has the keys themselves.
	KeysVariable = "SESSIONKEEPER_KEYS"
)

// Connection says how to connect to Temporal.
type Connection struct {
	client.Options
	// Keys encrypt payloads, nil for none. The options use them already. Watch them, so
	// that they can be rotated without a restart.
	Keys *seal.Keys
}

// Load reads the settings from the TEMPORAL_* variables of the environment, and from
// temporal.toml. Unlike the library, it accepts no setting that has no effect: a field
// or section that does not exist, a file that is missing, or a codec.
func Load() (Connection, error) {
	options, err := load()
	if err != nil {
		return Connection{}, fmt.Errorf("read Temporal's connection settings: %w", err)
	}
	options.HostPort = cmp.Or(options.HostPort, client.DefaultHostPort)
	options.Namespace = cmp.Or(options.Namespace, client.DefaultNamespace)
	keys, err := loadKeys()
	seal.Apply(&options, keys)
	return Connection{Options: options, Keys: keys}, err
}

// loadKeys returns the keys, nil if the environment names none.
func loadKeys() (*seal.Keys, error) {
	path, text := os.Getenv(KeysFileVariable), os.Getenv(KeysVariable)
	switch {
	case path != "" && text != "":
		return nil, fmt.Errorf("want either %s or %s, not both", KeysFileVariable, KeysVariable)
	case path != "":
		return seal.ReadKeys(path)
	case text != "":
		keys, err := seal.ParseKeys(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", KeysVariable, err)
		}
		return keys, nil
	default:
		return nil, nil
	}
}

func load() (client.Options, error) {
	if path := os.Getenv("TEMPORAL_CONFIG_FILE"); path != "" {
		if _, err := os.Stat(path); err != nil { //nolint:gosec // the operator names the file
			return client.Options{}, fmt.Errorf("TEMPORAL_CONFIG_FILE: %w", err)
		}
	}
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{ConfigFileStrict: true})
	if err != nil {
		return client.Options{}, err
	}
	if profile.Codec != nil {
		return client.Options{}, errors.New("a codec is set (codec in temporal.toml, or TEMPORAL_CODEC_*), " +
			"which these programs do not use")
	}
	return profile.ToClientOptions(envconfig.ToClientOptionsRequest{})
}

// IsReadable reports whether others could read or change what is exchanged with
// Temporal: it is on another machine, and the connection has no TLS.
func IsReadable(options client.Options) bool {
	host, _, err := net.SplitHostPort(options.HostPort)
	if err != nil {
		host = options.HostPort
	}
	isLoopback := host == "localhost" || net.ParseIP(host).IsLoopback()
	return options.ConnectionOptions.TLS == nil && !isLoopback
}
