package simulator_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/sandbox/simulator"
)

// control sends a request to the control API.
func (h *harness) control(method, path, body string) response {
	h.t.Helper()
	return h.do(method, "/_sandbox"+path, nil, body)
}

func TestControlFaults(t *testing.T) {
	h := newHarness(t)
	h.session()
	text := `{"path":"messagingSession","orgId":"` + orgA + `","operation":"End","times":3,"for":"1m0s","share":1,` +
		`"latency":"1ms","answer":{"status":429,"retryAfter":"2s","retryAfterDate":true},"break":"notJSON"}`
	r := h.control(http.MethodPost, "/faults", text)
	require.Equal(t, http.StatusOK, r.status)
	id := r.body["id"].(string)

	var listed []map[string]any
	require.NoError(t, json.Unmarshal([]byte(h.control(http.MethodGet, "/faults", "").raw), &listed))
	require.Len(t, listed, 1)
	require.Equal(t, "1ms", listed[0]["latency"])
	require.Equal(t, http.StatusTooManyRequests, h.call(nil).status)
	require.Equal(t, http.StatusOK, h.control(http.MethodDelete, "/faults/"+id, "").status)
	require.Equal(t, http.StatusNotFound, h.control(http.MethodDelete, "/faults/"+id, "").status)

	for want, body := range map[string]string{
		"latency": `{"latency":"-1s"}`, "duration": `{"latency":"2"}`, "unknown": `{"latnecy":"1s"}`,
		"EOF": ``, "more than one": `{"latency":"1s"}{}`, "orgId": `{"latency":"1s","orgId":"x"}`,
		"too large": `{"id":"` + strings.Repeat("x", 70_000) + `"}`,
	} {
		r := h.control(http.MethodPost, "/faults", body)
		require.Equal(t, http.StatusBadRequest, r.status, body)
		require.Contains(t, r.body["error"], want)
	}
	h.inject(simulator.Fault{Break: simulator.Reset})
	require.Equal(t, http.StatusOK, h.control(http.MethodDelete, "/faults", "").status)
	require.Equal(t, "[]\n", h.control(http.MethodGet, "/faults", "").raw)
}

func TestControlSessions(t *testing.T) {
	h := newHarness(t)
	session := `{"orgId":"` + orgA + `","conversationIdentifier":"conv-1","status":"Active",` +
		`"endUserClientId":"` + endUser + `","channelAddressIdentifier":"` + channel + `"}`
	r := h.control(http.MethodPost, "/sessions", session)
	require.Equal(t, http.StatusOK, r.status, r.raw)
	require.Regexp(t, "^0Mw", r.body["sessionId"])
	require.NotContains(t, r.raw, endUser)

	status := `{"orgId":"` + orgA + `","conversationIdentifier":"conv-1","status":"Ended"}`
	require.Equal(t, http.StatusOK, h.control(http.MethodPut, "/sessions/status", status).status)
	require.Equal(t, simulator.StatusEnded, h.status())
	otherConversation := strings.Replace(status, "conv-1", "other", 1)
	require.Equal(t, http.StatusNotFound, h.control(http.MethodPut, "/sessions/status", otherConversation).status)
	invalidStatus := strings.Replace(status, "Ended", "Dead", 1)
	require.Equal(t, http.StatusBadRequest, h.control(http.MethodPut, "/sessions/status", invalidStatus).status)
	require.Equal(t, http.StatusNotFound, h.control(http.MethodPost, "/sessions", `{"orgId":"x"}`).status)

	listing := h.control(http.MethodGet, "/sessions?orgId="+orgA+"&conversationIdentifier=conv-1", "").raw
	require.Contains(t, listing, `"Ended"`)
	require.NotContains(t, listing, endUser)
	require.Equal(t, "[]\n", h.control(http.MethodGet, "/sessions?orgId="+orgB, "").raw)
	require.Equal(t, http.StatusBadRequest, h.control(http.MethodGet, "/sessions?org=x", "").status)
}

func TestControlJournal(t *testing.T) {
	h := newHarness(t)
	h.call(nil)
	h.call(m{"conversationIdentifier": "conv-2"})
	h.newTokenB()
	count := func(query string) int {
		r := h.control(http.MethodGet, "/journal"+query, "")
		require.Equal(t, http.StatusOK, r.status)
		return len(r.body["entries"].([]any))
	}
	require.Equal(t, []int{3, 2, 1, 1, 0}, []int{
		count(""), count("?orgId=" + orgA), count("?orgId=" + orgB),
		count("?conversationIdentifier=conv-2"), count("?conversationIdentifier=x"),
	})
	require.Equal(t, http.StatusOK, h.control(http.MethodDelete, "/journal", "").status)
	require.JSONEq(t, `{"dropped":0,"entries":[]}`, h.control(http.MethodGet, "/journal", "").raw,
		"requests to the control API are not recorded")
}

func TestControlHealthChannelAddressesAndTokens(t *testing.T) {
	h := newHarness(t)
	h.session()
	require.Equal(t, http.StatusOK, h.control(http.MethodGet, "/health", "").status)
	address := `{"orgId":"` + orgA + `","id":"` + channel + `","active":false}`
	require.Equal(t, http.StatusOK, h.control(http.MethodPut, "/channel-addresses", address).status)
	require.Equal(t, "CHANNEL_ADDRESS_IS_INACTIVE", h.call(nil).body["errorReason"])
	require.Equal(t, http.StatusBadRequest, h.control(http.MethodPut, "/channel-addresses", `{"orgId":"x"}`).status)
	unknown := strings.Replace(address, channel, "x", 1)
	require.Equal(t, http.StatusNotFound, h.control(http.MethodPut, "/channel-addresses", unknown).status)
	require.Equal(t, http.StatusOK, h.control(http.MethodPost, "/tokens/expire-all", "").status)
	require.Equal(t, http.StatusUnauthorized, h.call(nil).status)
	require.Equal(t, http.StatusMethodNotAllowed, h.control(http.MethodPatch, "/journal", "").status)
	require.Equal(t, http.StatusNotFound, h.control(http.MethodGet, "/other", "").status)
}
