package receiver_test

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPI []byte

func TestDescriptionNeedsNoToken(t *testing.T) {
	srv := startServer(t)
	asYAML := srv.get(t, "/openapi.yaml", "Authorization", "")
	require.Equal(t, http.StatusOK, asYAML.status)
	require.Equal(t, string(openAPI), asYAML.body)
	asJSON := srv.get(t, "/openapi.json", "Authorization", "")
	require.Equal(t, "application/json", asJSON.header.Get("Content-Type"))
	var fromYAML, fromJSON map[string]any
	require.NoError(t, yaml.Unmarshal(openAPI, &fromYAML))
	require.NoError(t, json.Unmarshal([]byte(asJSON.body), &fromJSON))
	expected, err := json.Marshal(fromYAML)
	require.NoError(t, err)
	require.JSONEq(t, string(expected), asJSON.body)
}
