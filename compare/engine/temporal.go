package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/service"
	"sessionkeeper/local/billing"
	"sessionkeeper/local/embedded"
)

const (
	temporalLibrary  = "go.temporal.io/sdk"
	temporalDatabase = "temporal"
	namespace        = "default"
	taskQueue        = "compare"
)

// temporalServer is a Temporal server that keeps its state in PostgreSQL, and a
// client of it.
type temporalServer struct {
	setup  Setup
	server *embedded.Server
	client client.Client
	chats  atomic.Int64
}

var noLogs = slog.New(slog.DiscardHandler)

func startTemporal(ctx context.Context, setup Setup) (*temporalServer, error) {
	postgres := setup.Stores.Postgres
	for _, database := range temporalDatabases {
		if err := postgres.DropDatabase(ctx, database); err != nil {
			return nil, err
		}
	}
	attributes := map[string]enumspb.IndexedValueType{}
	for _, name := range conversation.SearchAttributes() {
		attributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	server, err := embedded.Start(ctx, embedded.Options{
		Namespace: namespace, SearchAttributes: attributes, Logger: noLogs,
		Postgres: &embedded.Postgres{
			Address: postgres.Address, User: postgres.User, Password: postgres.Password, Database: temporalDatabase,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start Temporal: %w", err)
	}
	s := &temporalServer{setup: setup, server: server}
	if s.client, err = client.DialContext(ctx, s.clientOptions()); err != nil {
		server.Stop()
		return nil, fmt.Errorf("connect to Temporal: %w", err)
	}
	return s, nil
}

var temporalDatabases = []string{temporalDatabase, temporalDatabase + "_visibility"}

func (s *temporalServer) clientOptions() client.Options {
	return client.Options{
		HostPort: s.server.FrontendAddress(), Namespace: namespace, Logger: log.NewStructuredLogger(noLogs),
	}
}

func (s *temporalServer) StoredBytes(ctx context.Context) (int64, error) {
	return s.setup.Stores.Postgres.Size(ctx, temporalDatabases...)
}

func (s *temporalServer) close() {
	s.client.Close()
	s.server.Stop()
}

const (
	orgID = "00D000000000001"
	// secretVariable is the environment variable with the client secret of orgID.
	secretVariable = "SESSIONKEEPER_COMPARE_SECRET"
)

func identity(id string) conversation.Identity {
	return conversation.Identity{
		OrgID: orgID, AuthorizationContext: "Partner1_ChannelDefinition1",
		ChannelAddressIdentifier: "8f5d1c1e-0000-4000-8000-000000000001",
		EndUserClientID:          "visitor-" + id, ConversationIdentifier: id, SessionID: "0Mw000000000001",
	}
}

// workerConfig configures a worker that sends its calls to the server of the
// comparison.
func (s *temporalServer) workerConfig() (service.Config, error) {
	if err := os.Setenv(secretVariable, "not-a-secret"); err != nil {
		return service.Config{}, fmt.Errorf("configure the worker: %w", err)
	}
	return service.Config{
		TaskQueue: taskQueue, CachedConversations: 20_000, StopTimeout: 5 * time.Second,
		Orgs: []service.Org{{
			OrgID: orgID, APIBaseURL: s.setup.Salesforce,
			CallTimeout: 10 * time.Second, TokenLifetime: 10 * time.Minute,
			ClientCredentials: &service.ClientCredentials{
				ConsumerKey: "compare", TokenURL: s.setup.Salesforce + "/services/oauth2/token",
				Secret: service.Secret{Env: secretVariable},
			},
		}},
	}, nil
}

// chatEvents report the events of a chat to one kind of workflow.
type chatEvents struct {
	start, message, close func(ctx context.Context, start conversation.Start) error
}

// playChat plays a chat in real time and counts its events and actions.
func (s *temporalServer) playChat(ctx context.Context, chat Chat, report chatEvents) (Cost, error) {
	start := conversation.Start{
		Identity: identity(fmt.Sprintf("chat-%d", s.chats.Add(1))),
		Policy:   conversation.Policy{InactivateAfter: new(conversation.Duration(chat.Length / 3))},
	}
	if err := report.start(ctx, start); err != nil {
		return Cost{}, err
	}
	tick := time.NewTicker(chat.Length / time.Duration(chat.Messages))
	defer tick.Stop()
	for range chat.Messages {
		select {
		case <-ctx.Done():
			return Cost{}, ctx.Err()
		case <-tick.C:
		}
		if err := report.message(ctx, start); err != nil {
			return Cost{}, err
		}
	}
	if err := report.close(ctx, start); err != nil {
		return Cost{}, err
	}
	if err := s.client.GetWorkflow(ctx, start.WorkflowID(), "").Get(ctx, nil); err != nil {
		return Cost{}, fmt.Errorf("wait for the end of the chat: %w", err)
	}
	total, err := billing.Of(ctx, s.client, start.WorkflowID())
	return Cost{Actions: total.Actions, Events: total.Events}, err
}
