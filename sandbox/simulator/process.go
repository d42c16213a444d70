package simulator

import (
	"context"
	"net/http"
	"time"
)

// outcome is what became of a call.
type outcome struct {
	reply         reply
	before, after Status
	faultID       string
	spoiled       Break
	clientGone    bool
}

// act processes a call, or lets a fault have its way with it.
func (s *Simulator) act(ctx context.Context, c *call) outcome {
	fault, acts := s.faults.pick(c, s.now())
	if !acts {
		return s.process(c)
	}
	out := s.misbehave(ctx, c, fault)
	out.faultID = fault.ID
	return out
}

func (s *Simulator) misbehave(ctx context.Context, c *call, fault Fault) outcome {
	out := outcome{reply: success()}
	if fault.Process {
		out = s.process(c)
	}
	if !waited(ctx, time.Duration(fault.Latency)) {
		out.clientGone = true
		return out
	}
	if !fault.Process && !fault.replaces() {
		out = s.process(c)
	}
	switch {
	case fault.RevokeToken:
		s.tokens.revoke(c.token)
		out.reply = s.turnDown(c, s.config.Behaviour.answer(InvalidToken))
	case fault.Answer != nil:
		out.reply = s.turnDown(c, *fault.Answer)
	}
	out.spoiled = fault.Break
	return out
}

// waited tells that d has passed before the client left.
func waited(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// process does what Salesforce would.
func (s *Simulator) process(c *call) outcome {
	switch {
	case c.grant != nil:
		return outcome{reply: s.turnDown(c, c.grant.answer())}
	case c.refusal != "":
		return outcome{reply: s.turnDown(c, s.config.Behaviour.answer(c.refusal))}
	case c.path == TokenPath:
		return outcome{reply: s.grant(c)}
	}
	if cause := c.org.refuses(c); cause != "" {
		return outcome{reply: s.turnDown(c, s.config.Behaviour.answer(cause))}
	}
	if c.path == ConversationPath {
		return s.converse(c)
	}
	return s.operate(c)
}

func (s *Simulator) operate(c *call) outcome {
	if s.config.Behaviour.AdoptUnknown {
		c.org.sessions.adopt(c, s.now())
	}
	before, after, cause := c.org.sessions.operate(c, s.config.Behaviour.transition, s.now())
	out := outcome{reply: success(), before: before, after: after}
	if cause != "" {
		out.reply = s.turnDown(c, s.config.Behaviour.answer(cause))
	}
	return out
}

func (s *Simulator) converse(c *call) outcome {
	session, err := c.org.sessions.open(Session{
		ID:                       c.fields["sessionId"],
		ConversationIdentifier:   c.fields["conversationIdentifier"],
		ChannelAddressIdentifier: c.fields["channelAddressIdentifier"],
		EndUserClientID:          c.fields["endUserClientId"],
		AppearsAfter:             s.config.Behaviour.SessionsAppearAfter,
	}, s.now())
	if err != nil {
		c.violate(InvalidField, err.Error())
		return outcome{reply: s.turnDown(c, s.config.Behaviour.answer(InvalidField))}
	}
	return outcome{after: session.Status, reply: reply{status: http.StatusAccepted, success: true, body: map[string]any{
		"conversationIdentifier": session.ConversationIdentifier,
		"messagingSessionId":     session.ID,
	}}}
}

func success() reply {
	return reply{status: http.StatusOK, success: true, body: map[string]any{"success": true}}
}
