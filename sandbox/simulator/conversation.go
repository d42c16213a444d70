package simulator

import "net/http"

// openConversation processes POST /api/v1/conversation.
func (s *Simulator) openConversation(req *request) result {
	wanted := req.session()
	wanted.AppearsAfter = s.config.Behaviour.SessionsAppearAfter
	session, err := req.org.sessions.open(wanted, s.now())
	if err != nil {
		req.violate(InvalidField, err.Error())
		return s.failure(req, InvalidField)
	}
	body := map[string]any{
		"conversationIdentifier": session.ConversationIdentifier,
		"messagingSessionId":     session.ID,
	}
	return result{
		after:    session.Status,
		response: response{status: http.StatusAccepted, success: true, body: body},
	}
}

// session returns the session that the fields of the body name.
func (req *request) session() Session {
	return Session{
		ID:                       req.fields["sessionId"],
		ConversationIdentifier:   req.fields["conversationIdentifier"],
		ChannelAddressIdentifier: req.fields["channelAddressIdentifier"],
		EndUserClientID:          req.fields["endUserClientId"],
	}
}
