package receiver_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var exchangesFile = flag.String("exchanges", "", "append every request and response to this file")

// exchange is a request and its response. The module docs/contract compares them with
// openapi.yaml.
type exchange struct {
	Test, Method, URL string
	RequestHeader     http.Header
	RequestBody       []byte
	Status            int
	ResponseHeader    http.Header
	ResponseBody      []byte
}

var writing sync.Mutex

// record writes an exchange to the file of -exchanges.
func record(t testing.TB, request *http.Request, sent []byte, response *http.Response, received []byte) {
	t.Helper()
	if *exchangesFile == "" {
		return
	}
	text, err := json.Marshal(exchange{
		Test: t.Name(), Method: request.Method, URL: request.URL.String(), RequestHeader: request.Header, RequestBody: sent,
		Status: response.StatusCode, ResponseHeader: response.Header, ResponseBody: received,
	})
	require.NoError(t, err)
	writing.Lock()
	defer writing.Unlock()
	file, err := os.OpenFile(*exchangesFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = file.Write(append(text, '\n'))
	require.NoError(t, err)
	require.NoError(t, file.Close())
}
