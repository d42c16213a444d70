package connection_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"sessionkeeper/internal/connection"
)

func TestLoad(t *testing.T) {
	for name, test := range map[string]struct {
		file, environment string
		want              client.Options
		err               string
	}{
		"defaults":           {want: client.Options{HostPort: "localhost:7233", Namespace: "default"}},
		"file":               {file: "[profile.default]\naddress = \"a:1\"\n", want: client.Options{HostPort: "a:1", Namespace: "default"}},
		"misspelled field":   {file: "[profile.default]\naddr = \"a:1\"\n", err: "key(s) unrecognized: profile.default.addr"},
		"misspelled section": {file: "[profile.default.tsl]\nserver_name = \"a\"\n", err: "key(s) unrecognized: profile.default.tsl"},
		"not TOML":           {file: "[profile", err: "failed parsing config"},
		"codec":              {file: "[profile.default.codec]\nendpoint = \"http://a\"\n", err: "a codec is set"},
		"codec, environment": {environment: "http://a", err: "a codec is set"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "temporal.toml")
			require.NoError(t, os.WriteFile(path, []byte(test.file), 0o600))
			t.Setenv("TEMPORAL_CONFIG_FILE", path)
			if test.environment != "" {
				t.Setenv("TEMPORAL_CODEC_ENDPOINT", test.environment)
			}
			options, err := connection.Load()
			if test.err != "" {
				require.ErrorContains(t, err, "read Temporal's connection settings: ")
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want.HostPort, options.HostPort)
			require.Equal(t, test.want.Namespace, options.Namespace)
		})
	}
	t.Setenv("TEMPORAL_CONFIG_FILE", "/no/such/temporal.toml")
	_, err := connection.Load()
	require.EqualError(t, err, "read Temporal's connection settings: "+
		"TEMPORAL_CONFIG_FILE: stat /no/such/temporal.toml: no such file or directory")
}

func TestIsReadable(t *testing.T) {
	for address, want := range map[string]bool{
		"localhost:7233": false, "127.0.0.1:7233": false, "[::1]:7233": false,
		"temporal:7233": true, "10.0.0.1:7233": true, "temporal": true,
	} {
		options := client.Options{HostPort: address}
		require.Equal(t, want, connection.IsReadable(options), address)
		options.ConnectionOptions.TLS = &tls.Config{}
		require.False(t, connection.IsReadable(options), address)
	}
}
