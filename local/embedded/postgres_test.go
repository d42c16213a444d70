package embedded_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/local/embedded"
)

func TestUnreachablePostgresIsNamed(t *testing.T) {
	_, err := embedded.Start(t.Context(), embedded.Options{
		Postgres: &embedded.Postgres{Address: "127.0.0.1:1", User: "someone", Password: "secret"},
	})
	require.ErrorContains(t, err, "prepare the database temporal on 127.0.0.1:1")
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "secret")
}

func TestTwoDatabasesAreRejected(t *testing.T) {
	_, err := embedded.Start(t.Context(), embedded.Options{DBFile: "state.db", Postgres: &embedded.Postgres{}})
	require.ErrorContains(t, err, `both Postgres and the DBFile "state.db" are set`)
}
