package codecserver_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"sessionkeeper/internal/access"
	"sessionkeeper/internal/codecserver"
	"sessionkeeper/internal/seal"
)

const (
	token    = "token-of-an-operator"
	oneOrg   = "token-of-one-org"
	origin   = "https://temporal.example.com"
	endUser  = "+15550100001"
	jsonType = "application/json"
)

// start starts a server and returns its URL, its codec and its log.
func start(t *testing.T) (url string, codec *seal.Codec) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := seal.NewFile(path)
	require.NoError(t, err)
	keys, err := seal.ReadKeys(path)
	require.NoError(t, err)
	line := func(name, token, orgs string) string {
		return fmt.Sprintf("- {name: %s, orgs: [%s], sha256: \"%x\"}\n", name, orgs, sha256.Sum256([]byte(token)))
	}
	tokens, err := access.ParseTokens(line("operations", token, "all") + line("router", oneOrg, "00D000000000001"))
	require.NoError(t, err)
	started, ended := make(chan string, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		ended <- codecserver.Run(ctx, codecserver.Options{
			Listener: access.Listener{Address: "127.0.0.1:0"}, Tokens: tokens, Origins: []string{origin}, Keys: keys,
			Logger: slog.New(slog.DiscardHandler), Started: func(address string) { started <- "http://" + address },
		})
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return <-started, seal.NewCodec(keys)
}

type answer struct {
	status int
	header http.Header
}

func do(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.NotContains(t, string(text), endUser)
	return answer{response.StatusCode, response.Header}
}

// The SDK's client of the protocol seals and opens payloads through the server.
func TestRemoteCodec(t *testing.T) {
	url, codec := start(t)
	remote := converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{
		Endpoint: url, ModifyRequest: func(r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		},
	})
	payload, err := converter.GetDefaultDataConverter().ToPayload(endUser)
	require.NoError(t, err)
	sealed, err := remote.Encode([]*commonpb.Payload{payload})
	require.NoError(t, err)
	require.NotContains(t, string(sealed[0].GetData()), endUser)
	for _, c := range []converter.PayloadCodec{remote, codec} {
		opened, err := c.Decode(sealed)
		require.NoError(t, err)
		require.True(t, proto.Equal(payload, opened[0]))
	}
}

func TestOnlyTokensForAllOrgsRead(t *testing.T) {
	url, _ := start(t)
	for _, path := range []string{"/encode", "/decode"} {
		for authorization, want := range map[string]int{
			"":                  http.StatusUnauthorized,
			"Bearer x" + token:  http.StatusUnauthorized,
			"Bearer " + oneOrg:  http.StatusForbidden,
			"Bearer " + token:   http.StatusOK,
			basic("any", token): http.StatusOK,
			basic(token, ""):    http.StatusUnauthorized,
			basic("any", "x"):   http.StatusUnauthorized,
		} {
			response := do(t, http.MethodPost, url+path, `{"payloads":[]}`, "Content-Type", jsonType, "Authorization", authorization)
			require.Equal(t, want, response.status, authorization)
			require.NotContains(t, fmt.Sprint(response.header), "Basic", "a browser would open a dialog over the Web UI")
		}
	}
	require.Contains(t, fmt.Sprint(do(t, http.MethodGet, url, "").header), "Basic")
	require.Equal(t, http.StatusUnauthorized, do(t, http.MethodGet, url, "").status)
	require.Equal(t, http.StatusOK, do(t, http.MethodGet, url, "", "Authorization", basic("any", token)).status)
	require.Equal(t, http.StatusMethodNotAllowed, do(t, http.MethodGet, url+"/decode", "", "Authorization", "Bearer "+token).status)
	require.Equal(t, http.StatusNotFound, do(t, http.MethodPost, url+"/other", "", "Authorization", "Bearer "+token).status)
}

func basic(user, password string) string {
	request := http.Request{Header: http.Header{}}
	request.SetBasicAuth(user, password)
	return request.Header.Get("Authorization")
}

// Only scripts of the Web UI may read what the server answers.
func TestOnlyAllowedOriginsRead(t *testing.T) {
	url, _ := start(t)
	for from, allowed := range map[string]string{
		origin: origin, "https://evil.example.com": "", "null": "", "https://temporal.example.com.evil.example.com": "",
	} {
		preflight := do(t, http.MethodOptions, url+"/decode", "", "Origin", from, "Access-Control-Request-Method", "POST")
		require.Equal(t, http.StatusNoContent, preflight.status)
		result := do(t, http.MethodPost, url+"/decode", `{"payloads":[]}`, "Origin", from, "Authorization", "Bearer "+token)
		for _, response := range []answer{preflight, result} {
			require.Equal(t, allowed, response.header.Get("Access-Control-Allow-Origin"), from)
			require.Equal(t, "Origin", response.header.Get("Vary"))
		}
		require.Contains(t, preflight.header.Get("Access-Control-Allow-Headers"), "X-Namespace")
	}
}

func TestRequestsAreBounded(t *testing.T) {
	url, _ := start(t)
	body := `{"payloads":[{"data":"` + strings.Repeat("A", 9<<20) + `"}]}`
	response := do(t, http.MethodPost, url+"/decode", body, "Authorization", "Bearer "+token)
	require.GreaterOrEqual(t, response.status, 400)
}
