package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v3"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "print the status of a conversation and what happens next",
		ArgsUsage: workflowIDArgument,
		Description: "A worker must run, because it answers for the conversation.\n" +
			"Without one, this command fails. Without -json, it prints what Temporal has recorded.\n\n" +
			"Example:\n   starter status -json 00D000000000001:6f1c2a9e",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}, timeoutFlag()},
		Action: withTimeout(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
			id, err := parseIdentity(c)
			if err != nil {
				return err
			}
			described, err := s.Describe(ctx, id)
			if err != nil {
				return err
			}
			switch {
			case !c.Bool("json"):
				printStatus(c, described)
				return described.NoAnswer
			case described.NoAnswer != nil:
				return described.NoAnswer
			default:
				return printJSON(c, described)
			}
		}),
	}
}

func printStatus(c *cli.Command, s sender.Description) {
	line := func(name, format string, args ...any) {
		text := strings.TrimSpace(fmt.Sprintf(format, args...))
		fmt.Fprintf(c.Root().Writer, "%-14s %s\n", name, strings.Map(printable, text))
	}
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			line(name, "%s (%s)", t.UTC().Format(time.RFC3339), relative(t))
		}
	}
	line("conversation", "%s:%s", s.OrgID, s.ConversationIdentifier)
	line("phase", "%s", cmp.Or(s.Phase, "(not known)"))
	if s.NoAnswer == nil {
		line("session", "%s %s", cmp.Or(s.SessionID, "(not known)"), s.SessionStatus)
	}
	at("started", s.StartedAt)
	at("last message", s.LastMessageAt)
	at("lease until", s.LeaseUntil)
	if s.Closing != nil {
		line("closing", "by %s since %s", s.Closing.By, s.Closing.At.UTC().Format(time.RFC3339))
	}
	switch r := s.Retrying; {
	case r != nil && r.WaitsForOrg:
		state := strings.TrimPrefix(r.LastReason, conversation.ErrorWaitsForOrg)
		line("waiting", "%s has not been sent: org %s is %s, see starter orgs", r.Operation, s.OrgID,
			strings.ToLower(strings.ReplaceAll(state, "_", " ")))
		at("next try", r.NextTryAt)
	case r != nil:
		line("retrying", "%s, attempt %d, last reason %s", r.Operation, r.Attempt, r.LastReason)
		at("failing since", r.Since)
		at("next try", r.NextTryAt)
	case s.Calling != "":
		line("calling", "%s", s.Calling)
	}
	at("Inactivate at", s.InactivateAt)
	at("End at", s.EndAt)
	if s.Blocked != nil {
		line("blocked by", "%s: %s", s.Blocked.Reason, s.Blocked.Message)
		at("fails at", s.BlockedUntil)
	}
	if f := s.Failure; f != nil {
		line("failed with", "%s: %s", f.Reason, f.Message)
	}
	if s.NoAnswer != nil {
		line("workflow", "%s; it did not answer", s.Execution)
	} else if s.IsOver() {
		line("workflow", "%s before the session had ended; begin it again: starter retry %s:%s",
			s.Execution, s.OrgID, s.ConversationIdentifier)
	}
	if a := s.LastAnswer; a != nil {
		line("last answer", "%s by %s: %s, HTTP %d, attempt %d, RequestId %s",
			a.Operation, a.By, cmp.Or(a.Reason, "success"), a.HTTPStatus, a.Attempt, a.RequestID)
	}
	if o := s.Outcome; o != nil {
		line("outcome", "%s %s", o.Why, o.EndedBy)
		at("ended", o.At)
	}
}

// printable replaces what could change the terminal: texts of Salesforce are shown.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '\uFFFD'
}

func relative(t time.Time) string {
	d := time.Until(t)
	if d < 0 {
		return (-d).Round(time.Second).String() + " ago"
	}
	return "in " + d.Round(time.Second).String()
}
