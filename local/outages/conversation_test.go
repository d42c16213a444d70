package outages_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/sandbox/simulator"
)

// ending is how a session is over.
type ending int

const (
	hangUp    ending = iota // the end user
	timeout                 // the routing system closes it
	byRep                   // a rep ends it in Salesforce, and the entry is passed on
	byRepOnly               // the same, and the entry is not passed on
	goesQuiet               // nobody writes any more
	endings   = 5
)

// plan is one session: the times between its messages, and how it is over.
type plan struct {
	gaps   []time.Duration
	ending ending
}

// talk is one conversation.
type talk struct {
	*world
	id     conversation.Identity
	policy conversation.Policy
	begins time.Duration
	plans  []plan

	// sessions are the ids of the sessions that have begun, in their order.
	sessions []string
	// reports are the events, in the order in which they were reported.
	reports []*report
}

// report is one event and its receipt.
type report struct {
	Kind    string
	Session string
	By      conversation.By
	At      time.Time
	// Acked is when the 202 arrived.
	Acked   time.Time
	Receipt string
}

// draw makes the conversations of a seed. They begin while processes fail.
func (w *world) draw(seed uint64) []*talk {
	talks := make([]*talk, *conversations)
	for i := range talks {
		rng := rand.New(rand.NewPCG(seed, uint64(1000+i)))
		k := &talk{world: w, begins: between(rng, 0, *failingFor*3/4)}
		k.id = conversation.Identity{
			OrgID: simulator.DemoOrgID, AuthorizationContext: simulator.DemoAuthorizationContext,
			ChannelAddressIdentifier: simulator.DemoChannelAddress,
			ConversationIdentifier:   fmt.Sprintf("outages-%d-%d", seed, i), EndUserClientID: fmt.Sprintf("visitor-%d", i),
		}
		k.policy = conversation.Policy{
			InactivateAfter: new(conversation.Duration(between(rng, inactivateAfter, 2*inactivateAfter))),
			EndAfter:        new(conversation.Duration(between(rng, inactivateAfter, 3*inactivateAfter))),
		}
		for range 1 + rng.IntN(2) {
			p := plan{ending: ending(rng.IntN(endings)), gaps: make([]time.Duration, 3+rng.IntN(12))}
			for g := range p.gaps {
				p.gaps[g] = between(rng, 50*time.Millisecond, 2*time.Second)
				if rng.IntN(8) == 0 {
					p.gaps[g] += time.Duration(*k.policy.InactivateAfter) // long enough to become Inactive
				}
			}
			k.plans = append(k.plans, p)
		}
		talks[i] = k
	}
	return talks
}

// play plays the sessions one after the other.
func (k *talk) play(ctx context.Context) error {
	if !sleep(ctx, k.begins) {
		return ctx.Err()
	}
	for _, p := range k.plans {
		session, err := k.salesforce.CreateSession(k.id.OrgID, simulator.Session{
			ConversationIdentifier: k.id.ConversationIdentifier, Status: simulator.StatusActive,
			ChannelAddressIdentifier: k.id.ChannelAddressIdentifier, EndUserClientID: k.id.EndUserClientID,
		})
		if err != nil {
			return err
		}
		k.id.SessionID = session.ID
		k.sessions = append(k.sessions, session.ID)
		if err := k.session(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// session plays one session, until Salesforce has ended it.
func (k *talk) session(ctx context.Context, p plan) error {
	start := struct {
		conversation.Identity
		Policy conversation.Policy `json:"policy"`
	}{k.id, k.policy}
	if err := k.report(ctx, cloudevent.TypeStarted, start, ""); err != nil {
		return err
	}
	for _, gap := range p.gaps {
		if !sleep(ctx, gap) {
			return ctx.Err()
		}
		if k.isOver() {
			return nil // it was idle for too long: the end user has to begin again
		}
		if err := k.report(ctx, cloudevent.TypeMessage, k.id, ""); err != nil {
			return err
		}
	}
	if err := k.end(ctx, p.ending); err != nil {
		return err
	}
	for !k.isOver() {
		if !sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("session %s is not over: %w", k.id.SessionID, ctx.Err())
		}
	}
	return nil
}

func (k *talk) end(ctx context.Context, how ending) error {
	type closed struct {
		conversation.Identity
		By conversation.By `json:"by"`
	}
	switch how {
	case hangUp:
		return k.report(ctx, cloudevent.TypeClosed, closed{k.id, conversation.EndUser}, conversation.EndUser)
	case timeout:
		return k.report(ctx, cloudevent.TypeClosed, closed{k.id, conversation.System}, conversation.System)
	case byRep, byRepOnly:
		err := k.salesforce.SetStatus(k.id.OrgID, k.id.ConversationIdentifier, simulator.StatusEnded)
		if err != nil || how == byRepOnly {
			return err
		}
		return k.report(ctx, cloudevent.TypeSessionStatus, conversation.SessionStatus{
			SessionID: k.id.SessionID, ConversationIdentifier: k.id.ConversationIdentifier,
			Status: conversation.StatusEnded, EndedByRole: "Agent",
		}, "")
	default:
		return nil
	}
}

func (k *talk) isOver() bool {
	session, found := k.salesforce.Session(k.id.OrgID, k.id.ConversationIdentifier)
	return !found || session.ID != k.id.SessionID || session.Status == simulator.StatusEnded
}

// report sends an event until it is acknowledged, always with the same time, as a routing
// system is asked to.
func (k *talk) report(ctx context.Context, kind string, data any, by conversation.By) error {
	r := &report{Kind: kind, Session: k.id.SessionID, By: by, At: time.Now().UTC()}
	k.reports = append(k.reports, r)
	event := map[string]any{
		"specversion": "1.0", "id": fmt.Sprint(len(k.reports)), "source": "/outages", "type": kind,
		"time": r.At.Format(time.RFC3339Nano), "data": data,
	}
	if kind == cloudevent.TypeSessionStatus {
		event["orgid"] = k.id.OrgID
	}
	body, err := json.Marshal(event)
	if err != nil {
		return err
	}
	for {
		receipt, err := k.post(ctx, body)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		if receipt != "" {
			r.Receipt, r.Acked = receipt, time.Now()
			return nil
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return fmt.Errorf("%s is not acknowledged: %w", kind, ctx.Err())
		}
	}
}

// post sends a request. Without a receipt it has to be sent again.
func (k *talk) post(ctx context.Context, body []byte) (receipt string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, k.receiver+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/cloudevents+json")
	request.Header.Set("Accept", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", nil // the receiver cannot be reached
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return "", nil // the answer was cut off
	case response.StatusCode == http.StatusTooManyRequests, response.StatusCode == http.StatusServiceUnavailable:
		return "", nil
	case response.StatusCode != http.StatusAccepted:
		return "", fmt.Errorf("HTTP %d: %s", response.StatusCode, text)
	}
	var accepted struct{ Receipts map[string]int }
	if err := json.Unmarshal(text, &accepted); err != nil {
		return "", fmt.Errorf("read the receipt: %w", err)
	}
	for name := range accepted.Receipts {
		receipt = name
	}
	return receipt, nil
}
