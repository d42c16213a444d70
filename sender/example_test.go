package sender_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/temporaltest"
	"sessionkeeper/sender"
)

// The chat of the examples.
var chat = conversation.Identity{
	OrgID:                    "00D000000000001",
	AuthorizationContext:     "Partner1_ChannelDefinition1",
	ChannelAddressIdentifier: "8f5d1c1e-2f0a-4c58-9a34-6b1c0d2e7f01",
	EndUserClientID:          "visitor-17",
	ConversationIdentifier:   "6f1c2a9e",
	SessionID:                "0Mw000000000001AAA",
}

// A chat starts, a message is written, and the end user hangs up.
func Example() {
	ctx := context.Background()
	temporal := dial() // client.Dial(client.Options{…})
	defer temporal.Close()
	s := sender.New(temporal, sender.Options{})
	defer s.Close(ctx)

	policy := conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Minute))}
	for _, send := range []func() (sender.Receipt, error){
		func() (sender.Receipt, error) {
			return s.Start(ctx, conversation.Start{Identity: chat, Policy: policy, At: time.Now()})
		},
		func() (sender.Receipt, error) {
			return s.Message(ctx, chat, conversation.Message{At: time.Now()})
		},
		func() (sender.Receipt, error) {
			return s.CloseConversation(ctx, chat, conversation.Close{By: conversation.EndUser, At: time.Now()})
		},
	} {
		receipt, err := send()
		if err != nil {
			log.Fatal(err) // or send it again: sender.IsRetryable(err)
		}
		fmt.Println(receipt)
	}
	// Output:
	// sent
	// sent
	// sent
}

// A caller that needs to know how the conversation ended waits for its outcome.
func ExampleSender_CloseAndWait() {
	temporal := dial()
	defer temporal.Close()
	s := sender.New(temporal, sender.Options{})
	defer s.Close(context.Background())

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	outcome, err := s.CloseAndWait(ctx, chat, conversation.Close{By: conversation.EndUser, At: time.Now()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(outcome.Why)
	// Output: Closed
}

// Messages within a window cost nothing: the first is reported, the others are
// absorbed. Close reports the last one and releases the lease.
func ExampleOptions_window() {
	temporal := dial()
	defer temporal.Close()
	s := sender.New(temporal, sender.Options{
		Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Minute))},
		Window: new(conversation.Duration(10 * time.Minute)),
	})
	ctx := context.Background()
	for range 3 {
		receipt, err := s.Message(ctx, chat, conversation.Message{At: time.Now()})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(receipt)
	}
	if err := s.Close(ctx); err != nil {
		log.Fatal(err)
	}
	stats := s.Stats()
	fmt.Println("absorbed", stats.Absorbed, "reports", stats.Reports)
	// Output:
	// sent
	// absorbed
	// absorbed
	// absorbed 2 reports 2
}

// dial connects to a stand-in for Temporal.
func dial() client.Client { return temporaltest.Start(exampleTB{}).Client(exampleTB{}) }

// exampleTB is what the stand-in needs of a test.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                   {}
func (exampleTB) Cleanup(func())            {}
func (exampleTB) Context() context.Context  { return context.Background() }
func (exampleTB) Errorf(f string, a ...any) { log.Fatalf(f, a...) }
func (exampleTB) FailNow()                  {}
