package contract_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"sessionkeeper/internal/access"
	"sessionkeeper/internal/receiver"
	"sessionkeeper/internal/temporaltest"
)

const session = "0Mw000000000001"

// serve runs a receiver with a stand-in for Temporal, and returns where it takes events.
func serve(t *testing.T) (url string) {
	t.Helper()
	started, ended := make(chan string, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	options := receiver.Options{
		Temporal: client.Options{HostPort: temporaltest.Start(t).Addr},
		Listener: access.Listener{Address: "127.0.0.1:0"}, MetricsListen: "127.0.0.1:0", Logger: zap.NewNop(),
		Started: func(address, _ string) { started <- "http://" + address + "/v1/events" },
	}
	go func() { ended <- receiver.Run(ctx, options) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	select {
	case url = <-started:
	case err := <-ended:
		ended <- err
		require.NoError(t, err)
	}
	return url
}

// post returns a request with one event.
func post(t *testing.T, url, event string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(event))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/cloudevents+json")
	request.Header.Set("Authorization", "Bearer token") // the description wants one
	return request
}

// data is the data of an event of a conversation.
func data(conversation string) string {
	return fmt.Sprintf(`{"orgId":"00D000000000001","authorizationContext":"Partner1_ChannelDefinition1",`+
		`"channelAddressIdentifier":"8f5d","endUserClientId":"+15550100001","conversationIdentifier":%q,"sessionId":%q}`,
		conversation, session)
}

func message(conversation string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"e","source":"/r","type":"sessionkeeper.conversation.message",`+
		`"time":%q,"data":%s}`, time.Now().Format(time.RFC3339Nano), data(conversation))
}

// The CloudEvents library writes what other routing systems write.
func TestEventsOfCloudEventsLibraryAreAccepted(t *testing.T) {
	url := serve(t)
	e := cloudevents.NewEvent()
	e.SetID("Euro € 😀")
	e.SetSource("/routing/ö")
	e.SetType("sessionkeeper.conversation.message")
	e.SetTime(time.Now())
	e.SetExtension("count", 5)
	require.NoError(t, e.SetData("application/vnd.vendor+json", []byte(data("c"))))
	ctx := t.Context()
	for name, ctx := range map[string]context.Context{
		"structured": binding.WithForceStructured(ctx), "binary": binding.WithForceBinary(ctx),
	} {
		request := post(t, url, "")
		request.Header.Del("Content-Type")
		require.NoError(t, cehttp.WriteRequest(ctx, binding.ToMessage(&e), request))
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusAccepted, response.StatusCode, "%s: %s", name, body)
	}
}
