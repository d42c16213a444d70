package service

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// BenchmarkReload reads the configuration of 300 orgs, each with a file and a key, that has
// not changed. A worker does that every three seconds. The start is measured too.
func BenchmarkReload(b *testing.B) {
	folder := b.TempDir()
	path := filepath.Join(folder, "worker.yaml")
	write := func(name, text string) {
		require.NoError(b, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	require.NoError(b, os.Mkdir(filepath.Join(folder, "orgs.d"), 0o700))
	write("worker.yaml", "orgFolder: orgs.d\n")
	write("key.pem", rsaKey(b))
	for n := range 300 {
		write(fmt.Sprintf("orgs.d/%d.yaml", n), fmt.Sprintf("orgId: 00D00000000%04d\n", n)+strings.ReplaceAll(
			"apiBaseUrl: https://example.my.salesforce-scrt.com\njwtBearer:\n  consumerKey: key\n"+
				"  username: user@example.com\n  key: {file: KEY}\n", "KEY", filepath.Join(folder, "key.pem")))
	}
	b.Run("start", func(b *testing.B) {
		for b.Loop() {
			config, err := LoadConfig(path)
			require.NoError(b, err)
			require.Len(b, NewOrgs(config, "1", zap.NewNop()).byID, 300)
		}
	})
	config, err := LoadConfig(path)
	require.NoError(b, err)
	orgs := NewOrgs(config, "1", zap.NewNop())
	b.Run("nothing has changed", func(b *testing.B) {
		for b.Loop() {
			require.Empty(b, orgs.reload(path))
		}
	})
}
