package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"sessionkeeper/conversation"
)

const (
	// signalAfter is the failed attempt of a call that is reported to the workflow.
	signalAfter = 3
	// signalTimeout limits how long an attempt waits for that.
	signalTimeout = 2 * time.Second
)

// reportFailure passes the progress on to the next attempt. It logs the first
// failure of a call and its last one, and reports to the workflow a call that
// keeps failing. It logs no call that was refused because there were too many: the
// org's gate logs that once. Of a call that was cancelled it says nothing: the workflow does
// not want it any more.
func (a *Activities) reportFailure(ctx context.Context, answer conversation.Answer, d Decision, p Progress) {
	// RecordHeartbeat returns after the first heartbeat of an attempt was sent. So
	// the next attempt can read it, and ctx has ended if the call was cancelled.
	activity.RecordHeartbeat(ctx, p)
	if ctx.Err() != nil {
		return
	}
	isFirst := p.FailingSince.Equal(answer.At) && p.Turn.IsZero()
	if d.Verdict == Operator || isFirst {
		logFailure(ctx, answer, d)
	}
	if !p.KeepsFailing(answer, d) {
		return
	}
	if err := a.signalFailing(ctx, answer, p.FailingSince); err != nil {
		activity.GetLogger(ctx).Debug("Report of a failing call not sent", "error", err)
		return
	}
	p.Signalled = true
	activity.RecordHeartbeat(ctx, p)
}

func (a *Activities) signalFailing(ctx context.Context, answer conversation.Answer, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, signalTimeout)
	defer cancel()
	info := activity.GetInfo(ctx)
	run := info.WorkflowExecution
	return a.temporal(ctx).SignalWorkflow(ctx, run.ID, run.RunID, conversation.SignalCallFailing,
		conversation.CallFailing{ActivityID: info.ActivityID, Since: since, Attempts: answer.Attempt, Answer: answer})
}

// logSuccess logs a success if failed attempts of the call were logged before it.
func logSuccess(ctx context.Context, answer conversation.Answer, p Progress) {
	if !p.FailingSince.IsZero() {
		activity.GetLogger(ctx).Info("Call succeeded after failed attempts",
			"failingSince", p.FailingSince, "requestId", answer.RequestID)
	}
}

func logDone(ctx context.Context, answer conversation.Answer) {
	text := "Session has ended already"
	if answer.NotActive {
		text = "Session is not active"
	}
	activity.GetLogger(ctx).Info(text, facts(answer, Done)...)
}

func logFailure(ctx context.Context, answer conversation.Answer, d Decision) {
	log := activity.GetLogger(ctx)
	if d.Verdict == Operator {
		log.Error("Call rejected, an operator is needed", facts(answer, d.Verdict)...)
		return
	}
	log.Warn("Call failed, trying again", facts(answer, d.Verdict)...)
}

// facts are the attributes of a log line. The SDK adds the conversation and the
// number of the attempt.
func facts(answer conversation.Answer, verdict Verdict) []any {
	return []any{
		"verdict", string(verdict), "reason", answer.Reason, "httpStatus", answer.HTTPStatus,
		"code", answer.Code, "requestId", answer.RequestID, "message", answer.Message,
	}
}
