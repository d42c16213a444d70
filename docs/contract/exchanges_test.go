package contract_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// exchange is a request and its response, as the tests of the receiver record them.
type exchange struct {
	Test, Method, URL string
	RequestHeader     http.Header
	RequestBody       []byte
	Status            int
	ResponseHeader    http.Header
	ResponseBody      []byte
}

// Every response that the tests of the receiver got is described, and so is every request
// that succeeded. And they got every response that is described.
func TestReceiverAnswersAsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range recorded(t) {
		seen[e.check(t)] = true
	}
	for _, described := range describedResponses(t) {
		require.True(t, seen[described], "no test of the receiver got this response: %s", described)
	}
}

// recorded runs the tests of the receiver.
func recorded(t *testing.T) (all []exchange) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "exchanges")
	tests := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./internal/receiver", "-args", "-exchanges="+file)
	tests.Dir = filepath.Join("..", "..")
	out, err := tests.CombinedOutput()
	require.NoError(t, err, string(out))
	text, err := os.Open(file)
	require.NoError(t, err)
	defer text.Close()
	for lines := json.NewDecoder(text); ; {
		var e exchange
		if err := lines.Decode(&e); err == io.EOF {
			return all
		}
		require.NoError(t, err)
		all = append(all, e)
	}
}

// check compares an exchange with the description, and returns its method, path and
// status. Paths that do not exist are not described.
func (e exchange) check(t *testing.T) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), e.Method, e.URL, bytes.NewReader(e.RequestBody))
	require.NoError(t, err)
	request.Header = e.RequestHeader
	response := &http.Response{
		StatusCode: e.Status, Header: e.ResponseHeader, Request: request, Body: io.NopCloser(bytes.NewReader(e.ResponseBody)),
	}
	path := request.URL.Path
	if strings.HasPrefix(path, "/v1/conversations/") && strings.Count(request.URL.EscapedPath(), "/") == 4 {
		path = "/v1/conversations/{orgId}/{conversationIdentifier}"
	}
	name := fmt.Sprintf("%s %s %d", strings.ToLower(e.Method), path, e.Status)
	_, known := describedPaths(t)[path][strings.ToLower(e.Method)]
	withoutBody := e.Status == http.StatusAccepted && len(e.ResponseBody) == 0 // the client has not asked for one
	if !known || withoutBody || path == "/openapi.yaml" {                      // the validator reads no YAML
		return name
	}
	check := description().ValidateHttpResponse
	if e.Status < http.StatusMultipleChoices {
		check = description().ValidateHttpRequestResponse
	}
	if ok, errs := check(request, response); !ok {
		for _, err := range errs {
			t.Errorf("%s in %s: %v %v", name, e.Test, err, err.SchemaValidationErrors)
		}
	}
	return name
}

func describedResponses(t *testing.T) (all []string) {
	t.Helper()
	for path, methods := range describedPaths(t) {
		for method, operation := range methods {
			for status := range operation.Responses {
				if status != "default" { // only a fault of the server
					all = append(all, method+" "+path+" "+status)
				}
			}
		}
	}
	return all
}

type httpOperation struct {
	Responses map[string]any
}

// describedPaths are the operations of the description, by path and method.
func describedPaths(t *testing.T) map[string]map[string]httpOperation {
	t.Helper()
	var text struct {
		Paths map[string]map[string]httpOperation
	}
	require.NoError(t, yaml.Unmarshal(openAPI(), &text))
	return text.Paths
}
