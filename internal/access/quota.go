package access

import (
	"cmp"
	"errors"
)

// Quota is what one token may use, so that no token takes from another one. A field
// that is 0 takes its default.
type Quota struct {
	// RequestsPerSecond and EventsPerSecond are rates. For a moment they may be
	// exceeded by what is allowed in one second. Default
	// [DefaultRequestsPerSecond] and [DefaultEventsPerSecond].
	RequestsPerSecond int `yaml:"requestsPerSecond"`
	EventsPerSecond   int `yaml:"eventsPerSecond"`
	// BytesPerSecond is the rate of the bodies of requests. A second's bytes, or the
	// largest body, may arrive at once. Default [DefaultBytesPerSecond].
	BytesPerSecond int64 `yaml:"bytesPerSecond"`
	// Requests is the number of requests whose events are being sent. The same
	// number holds for requests that read a conversation. Default
	// [DefaultRequests].
	Requests int `yaml:"requests"`
	// RequestBytes is the memory for bodies of requests, while they are received
	// and until they are answered. Default [DefaultRequestBytes].
	RequestBytes int64 `yaml:"requestBytes"`
	// Conversations is the number of conversations whose messages are absorbed.
	// Default [sender.DefaultMaxConversations].
	Conversations int `yaml:"conversations"`
	// ConversationBytes is the memory for them. Default [sender.DefaultMaxBytes].
	ConversationBytes int64 `yaml:"conversationBytes"`
}

func (q Quota) check() error {
	if q.RequestsPerSecond < 0 || q.EventsPerSecond < 0 || q.BytesPerSecond < 0 || q.Requests < 0 || q.RequestBytes < 0 ||
		q.Conversations < 0 || q.ConversationBytes < 0 {
		return errors.New("must not be negative")
	}
	return nil
}

// OrElse returns the quota with the fields of another one where it has none.
func (q Quota) OrElse(other Quota) Quota {
	return Quota{
		RequestsPerSecond: cmp.Or(q.RequestsPerSecond, other.RequestsPerSecond),
		EventsPerSecond:   cmp.Or(q.EventsPerSecond, other.EventsPerSecond),
		BytesPerSecond:    cmp.Or(q.BytesPerSecond, other.BytesPerSecond),
		Requests:          cmp.Or(q.Requests, other.Requests),
		RequestBytes:      cmp.Or(q.RequestBytes, other.RequestBytes),
		Conversations:     cmp.Or(q.Conversations, other.Conversations),
		ConversationBytes: cmp.Or(q.ConversationBytes, other.ConversationBytes),
	}
}
