package engine

import (
	"context"
	"errors"
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
	taskQueue        = "bench"
)

// temporalRig is a Temporal server on PostgreSQL.
type temporalRig struct {
	setup  Setup
	server *embedded.Server
	client client.Client
	chats  atomic.Int64
}

var quiet = slog.New(slog.DiscardHandler)

func startTemporal(ctx context.Context, setup Setup) (*temporalRig, error) {
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
		Namespace: namespace, SearchAttributes: attributes, Logger: quiet,
		Postgres: &embedded.Postgres{
			Address: postgres.Address, User: postgres.User, Password: postgres.Password, Database: temporalDatabase,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start Temporal: %w", err)
	}
	r := &temporalRig{setup: setup, server: server}
	if r.client, err = client.DialContext(ctx, r.connection()); err != nil {
		server.Stop()
		return nil, fmt.Errorf("connect to Temporal: %w", err)
	}
	return r, nil
}

var temporalDatabases = []string{temporalDatabase, temporalDatabase + "_visibility"}

func (r *temporalRig) connection() client.Options {
	return client.Options{HostPort: r.server.FrontendAddress(), Namespace: namespace, Logger: log.NewStructuredLogger(quiet)}
}

func (r *temporalRig) Stored(ctx context.Context) (int64, error) {
	return r.setup.Stores.Postgres.Size(ctx, temporalDatabases...)
}

func (r *temporalRig) close() {
	r.client.Close()
	r.server.Stop()
}

// What the conversations belong to.
const (
	orgID       = "00D000000000001"
	secretInEnv = "SESSIONKEEPER_BENCH_SECRET"
)

// identity of a conversation.
func identity(id string) conversation.Identity {
	return conversation.Identity{
		OrgID: orgID, AuthorizationContext: "Partner1_ChannelDefinition1", ChannelAddressIdentifier: "8f5d1c1e-0000-4000-8000-000000000001",
		EndUserClientID: "visitor-" + id, ConversationIdentifier: id, SessionID: "0Mw000000000001",
	}
}

// workerConfig is the configuration of a worker that calls our Salesforce.
func (r *temporalRig) workerConfig() (service.Config, error) {
	if err := os.Setenv(secretInEnv, "not-a-secret"); err != nil {
		return service.Config{}, fmt.Errorf("worker's configuration: %w", err)
	}
	return service.Config{
		TaskQueue: taskQueue, CachedConversations: 20_000, StopTimeout: 5 * time.Second,
		Orgs: []service.Org{{
			OrgID: orgID, APIBaseURL: r.setup.Salesforce, CallTimeout: 10 * time.Second, TokenLifetime: 10 * time.Minute,
			ClientCredentials: &service.ClientCredentials{
				ConsumerKey: "bench", TokenURL: r.setup.Salesforce + "/services/oauth2/token", Secret: service.Secret{Env: secretInEnv},
			},
		}},
	}, nil
}

// played is how to play a chat on one design.
type played struct {
	begin, message, hangUp func(ctx context.Context, start conversation.Start) error
}

// play plays a chat in its own time and reads what it cost.
func (r *temporalRig) play(ctx context.Context, chat Chat, p played) (Cost, error) {
	start := conversation.Start{
		Identity: identity(fmt.Sprintf("chat-%d", r.chats.Add(1))),
		Policy:   conversation.Policy{InactivateAfter: new(conversation.Duration(chat.Over / 3))},
	}
	if err := p.begin(ctx, start); err != nil {
		return Cost{}, err
	}
	tick := time.NewTicker(chat.Over / time.Duration(chat.Messages))
	defer tick.Stop()
	for range chat.Messages {
		select {
		case <-ctx.Done():
			return Cost{}, ctx.Err()
		case <-tick.C:
		}
		if err := p.message(ctx, start); err != nil {
			return Cost{}, err
		}
	}
	if err := p.hangUp(ctx, start); err != nil {
		return Cost{}, err
	}
	if err := r.client.GetWorkflow(ctx, start.WorkflowID(), "").Get(ctx, nil); err != nil {
		return Cost{}, fmt.Errorf("wait for the chat's end: %w", err)
	}
	return r.costOf(ctx, start.WorkflowID())
}

func (r *temporalRig) costOf(ctx context.Context, workflowID string) (Cost, error) {
	total, err := billing.Of(ctx, r.client, workflowID)
	return Cost{Actions: total.Actions, Events: total.Events}, err //nolint:wrapcheck // it names the history
}

var errNotStarted = errors.New("the worker ended before it took work")
