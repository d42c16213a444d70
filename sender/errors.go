package sender

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/api/serviceerror"
	"google.golang.org/grpc/codes"

	"sessionkeeper/internal/seal"
)

// ErrClosed is the error of an event that is sent by a closed sender.
var ErrClosed = errors.New("the sender is closed")

// ErrFull is the error of a message when the sender already has
// Options.MaxConversations conversations. The message was not stored.
var ErrFull = errors.New("too many conversations at once")

// PendingError is the error of a message that Temporal has not acknowledged yet.
// The sender has stored it and repeats it until Temporal accepts it. Sending it
// again does no harm. If the process ends before that, the message is lost.
type PendingError struct{ Cause error }

// Error implements error.
func (e *PendingError) Error() string {
	return "not acknowledged yet; stored, and will be sent again: " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *PendingError) Unwrap() error { return e.Cause }

// UndrainedError is the error of [Sender.Close] when ctx ended first. The
// conversations whose lease was not released are made Inactive late, by at most
// one window. Messages that were not acknowledged are lost.
type UndrainedError struct {
	// Conversations is how many were left, Unreported how many of them with a
	// message that was not reported.
	Conversations, Unreported int
	Cause                     error
}

// Error implements error.
func (e *UndrainedError) Error() string {
	return fmt.Sprintf("close the sender: %d conversations left, %d of them with an unreported message: %v",
		e.Conversations, e.Unreported, e.Cause)
}

// Unwrap returns the cause.
func (e *UndrainedError) Unwrap() error { return e.Cause }

// IsRetryable reports whether an error of a [Sender] may succeed if the event is
// sent again later: Temporal is unavailable, too slow or overloaded, or this process does
// not have the key yet with which the last run's outcome is sealed. "Namespace not
// found" is retryable too: a Temporal server answers that also while it cannot reach its
// database (go.temporal.io/server v1.32.1, common/namespace/nsregistry/registry.go).
func IsRetryable(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, seal.ErrKeyMissing) {
		return true
	}
	if _, missing := errors.AsType[*serviceerror.NamespaceNotFound](err); missing {
		return true
	}
	service, ok := errors.AsType[serviceerror.ServiceError](err)
	if !ok {
		return false
	}
	switch service.Status().Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted,
		codes.Aborted, codes.Canceled, codes.Internal, codes.Unknown:
		return true
	default:
		return false
	}
}
