// The payloads of the workflow Conversation, generated from docs/contract/conversation.schema.json.
// To generate this file again: npm run --silent generate, in docs/contract/check.

/**
 * A conversation has begun, or its identity or policy is corrected. The start with the newest time wins. A Start is an Input with every field that Salesforce requires.
 */
export type Start = Input & {
  authorizationContext: string;
  channelAddressIdentifier: Identifier;
  endUserClientId: Identifier;
};
/**
 * 1 to 240 characters, none of them a control character.
 */
export type Identifier = string;
/**
 * The MessagingSession record id, with 15 or 18 characters. Both forms name the same session.
 */
export type SessionId = string;
/**
 * A time in Salesforce's entry: RFC 3339, RFC 3339 with the zone as +0000, or seconds or milliseconds since 1970. The size of the number decides: both are the years 2001 to 5138. An empty string, 0 and null mean that there is no time.
 */
export type SalesforceTime = null | 0 | number | string;
/**
 * Salesforce's operation on a messaging session.
 */
export type Operation = 'Inactivate' | 'End';
/**
 * Salesforce's operationBy: on whose behalf the operation is made.
 */
export type By = 'EndUser' | 'System';
/**
 * RFC 3339, with a time zone. The years 1970 to 9999, both in this zone and in UTC. At most 64 characters.
 */
export type Time = string;
/**
 * Closed: a close was requested. Idle: the session stayed Inactive for endAfter. EndedInSalesforce: Salesforce reported the end; the worker did not call. AlreadyOver: Salesforce answered that the session does not exist any more. NewSession: another session of the conversation replaced it. Canceled: the workflow was cancelled, and its policy said to End the session first.
 */
export type Why = 'Closed' | 'Idle' | 'EndedInSalesforce' | 'AlreadyOver' | 'NewSession' | 'Canceled';
/**
 * Active: the idle clock runs. Inactive: the session is Inactive in Salesforce, by a call of the worker or because Salesforce reported it. Ended: the session is over. Blocked: a call failed for a reason that only an operator can remove; the conversation still accepts events.
 */
export type Phase = 'Active' | 'Inactive' | 'Ended' | 'Blocked';
/**
 * Numbers with units: h, m, s, ms, us, ns. Not negative. "1d" and numbers without a unit are rejected.
 */
export type Duration = string;

/**
 * All payloads of the workflow Conversation, each under its name in $defs. They are plain JSON (Temporal's encoding json/plain). Leave out a field that has no value; do not send null. The worker ignores unknown fields. Callers must ignore them too, because later versions may add fields.
 */
export interface Contract {
  [k: string]: unknown;
}
/**
 * The workflow's input: which conversation it is, its policy, and when it began. Only the two identifiers that form the workflow id are required, because the first event of a conversation may carry no more than that. A later start adds the rest.
 */
export interface Input {
  /**
   * The org's 15-character id. The 18-character form is rejected.
   */
  orgId: string;
  /**
   * Developer name of the ConversationChannelDefinition.
   */
  authorizationContext?: string;
  /**
   * MessagingChannel.ChannelAddressIdentifier.
   */
  channelAddressIdentifier?: string;
  /**
   * The end user's id in the partner's system. It may be a phone number, so it is never shown outside payloads.
   */
  endUserClientId?: string;
  /**
   * Salesforce's identifier of the conversation. A conversation may have several sessions, one after the other. ASCII only, because the identifier is part of the workflow id.
   */
  conversationIdentifier: string;
  /**
   * The current session. Salesforce rejects Inactivate without it, so send it with every event once you know it.
   */
  sessionId?: string;
  policy?: Policy;
  /**
   * When it happened, by the sender's clock. An absent time, or one in the future, means the time at which the event is processed.
   */
  at?: string;
  previous?: PreviousSession;
  /**
   * true: this input was made from an event that is not a start, because that event came first. A later start replaces its content, whatever the event times are.
   */
  provisional?: boolean;
}
/**
 * How long a conversation may stay in each phase. An absent field means its default. "0s" disables the stage. Each duration is at most 8760h.
 */
export interface Policy {
  /**
   * The time without activity after which the session becomes Inactive. 0s: never.
   */
  inactivateAfter?: string;
  /**
   * How long an Inactive session waits before it is Ended. 0s: Salesforce ends it.
   */
  endAfter?: string;
  /**
   * How long a Blocked conversation waits for an operator before its workflow fails. 0s: for ever.
   */
  blockedFor?: string;
  /**
   * true: when the workflow is cancelled, it Ends the session (by System) before it stops. A later start can switch this on, but not off.
   */
  endOnCancel?: boolean;
}
/**
 * What the sender knows of the session before this one: it has looked up the last run of the workflow. It counts only as the input of a new workflow. With it, an event of that session that arrives late does not change the next one.
 */
export interface PreviousSession {
  /**
   * Its id, if known.
   */
  sessionId?: string;
  /**
   * Events up to this time belong to it.
   */
  endsEventsUntil?: string;
}
/**
 * Someone wrote a message. There is no field for its text.
 */
export interface Message {
  /**
   * The session that the message belongs to, if known.
   */
  sessionId?: string;
  /**
   * When the message was written, by the sender's clock. An absent time, or one in the future, means the time at which the event is processed. A message that is older than the last activity does not move the idle deadline.
   */
  at?: string;
  lease?: Lease;
}
/**
 * What a sender holds on a conversation while it collects messages instead of reporting each of them. A report with a duration acquires the lease; it ends at at + duration. Before that, the holder reports its last message with a duration (the lease is renewed), or sends the same report without a duration (the lease is released). A lease that is neither renewed nor released expires. A report without lease does not change any lease.
 */
export interface Lease {
  /**
   * 1 to 240 characters, none of them a control character.
   */
  holder?: string;
  /**
   * How long the lease lasts, counted from at. Use at most inactivateAfter: with a longer lease, Inactivate may be late even while the sender runs. The worker accepts at most 8760h. Absent or 0s releases the lease of this holder.
   */
  duration?: string;
}
/**
 * The chat is over. The worker Ends the session.
 */
export interface Close {
  /**
   * EndUser if the end user hung up, otherwise System.
   */
  by?: 'EndUser' | 'System';
  /**
   * The session that is over, if known. A close of an earlier session does not affect the current one.
   */
  sessionId?: string;
  /**
   * When it happened, by the sender's clock. An absent time, or one in the future, means the time at which the event is processed.
   */
  at?: string;
}
/**
 * Salesforce's SessionStatusChanged entry, as a partner receives it on its Pub/Sub API subscription, and the time at which it was sent.
 */
export interface SessionStatus {
  sessionId: SessionId;
  conversationIdentifier?: Identifier;
  channelAddressIdentifier?: Identifier;
  /**
   * 1 to 240 characters, none of them a control character.
   */
  sessionStatus: string;
  sessionStatusPrev?: Identifier;
  /**
   * 1 to 240 characters, none of them a control character.
   */
  sessionEndedByRole?: string;
  sessionStartTime?: SalesforceTime;
  sessionEndTime?: SalesforceTime;
  /**
   * When the entry was sent. If absent, sessionEndTime counts; if that is absent too, the time at which the event is processed. The session has ended at sessionEndTime, also if this time is later.
   */
  at?: string;
}
/**
 * A call to Salesforce has failed several times and is tried again. Only the worker sends it, once for each call, when the third attempt has failed.
 */
export interface CallFailing {
  /**
   * 1 to 240 characters, none of them a control character.
   */
  activityId: string;
  /**
   * When the first attempt failed.
   */
  since: string;
  /**
   * How many attempts have failed.
   */
  attempts: number;
  /**
   * The answer to the last of them.
   */
  answer: Answer;
}
/**
 * What Salesforce answered to one call. When an operator is needed, it is also the first detail of the failure of the update close and of the workflow. The failure's type is the reason.
 */
export interface Answer {
  operation: Operation;
  by: By;
  /**
   * Salesforce's errorReason, or the worker's own name for a failure without one. Absent for a success. Salesforce may add reasons: accept reasons that you do not know.
   */
  reason?: string;
  /**
   * true: Salesforce answered that the session is already over.
   */
  alreadyOver?: boolean;
  /**
   * true: Salesforce answered to Inactivate that there is no active conversation. The session may be Inactive already, or over.
   */
  notActive?: boolean;
  message?: string;
  httpStatus?: number;
  /**
   * Salesforce's error code, if it sent one.
   */
  code?: string;
  /**
   * The RequestId header of the request that this answers.
   */
  requestId?: string;
  /**
   * The number of the attempt, starting at 1. 0 if it is not known.
   */
  attempt: number;
  at: Time;
}
/**
 * An operator has removed the cause of a Blocked conversation: try the call again. It has no fields.
 */
export interface Retry {}
/**
 * How the conversation ended. It is the workflow's result and the result of the update close.
 */
export interface Outcome {
  why: Why;
  /**
   * EndUser or System if the worker's call ended the session, or the role that Salesforce named. Absent if it is not known.
   */
  endedBy?: string;
  /**
   * RFC 3339, with a time zone. The years 1970 to 9999, both in this zone and in UTC. At most 64 characters.
   */
  at: string;
  /**
   * RFC 3339, with a time zone. The years 1970 to 9999, both in this zone and in UTC. At most 64 characters.
   */
  endsEventsUntil: string;
  /**
   * The MessagingSession record id, with 15 or 18 characters. Both forms name the same session.
   */
  sessionId?: string;
  /**
   * RFC 3339, with a time zone. The years 1970 to 9999, both in this zone and in UTC. At most 64 characters.
   */
  startedAt?: string;
  /**
   * How many attempts all calls to Salesforce took in this generation. Only calls whose result has arrived are counted.
   */
  attempts: number;
  /**
   * The last answer of Salesforce. Absent if Salesforce was never called.
   */
  lastAnswer?: Answer;
  /**
   * The policy that was in force. A conversation that begins again with another event than a start keeps it.
   */
  policy?: Policy;
}
/**
 * The state of a conversation: the result of the query status. It has no personal data.
 */
export interface Status {
  phase: Phase;
  orgId: string;
  conversationIdentifier: string;
  sessionId?: SessionId;
  /**
   * The last session status that Salesforce reported, if any.
   */
  sessionStatus?: string;
  /**
   * RFC 3339, with a time zone. The years 1970 to 9999, both in this zone and in UTC. At most 64 characters.
   */
  startedAt: string;
  lastMessageAt?: Time;
  /**
   * RFC 3339, with a time zone. The years 1970 to 9999, both in this zone and in UTC. At most 64 characters.
   */
  leaseUntil?: string;
  /**
   * RFC 3339, with a time zone. The years 1970 to 9999, both in this zone and in UTC. At most 64 characters.
   */
  inactivateAt?: string;
  /**
   * RFC 3339, with a time zone. The years 1970 to 9999, both in this zone and in UTC. At most 64 characters.
   */
  endAt?: string;
  /**
   * Salesforce's operation on a messaging session.
   */
  calling?: 'Inactivate' | 'End';
  /**
   * The close that was requested. Absent if none was, and after the end.
   */
  closing?: Closing;
  /**
   * The pending call is tried again and again. Absent if fewer than three of its attempts have failed.
   */
  failing?: CallFailing;
  /**
   * The answer that needs an operator, while the phase is Blocked.
   */
  blocked?: Answer;
  /**
   * RFC 3339, with a time zone. The years 1970 to 9999, both in this zone and in UTC. At most 64 characters.
   */
  blockedUntil?: string;
  /**
   * The last answer of Salesforce. Absent until Salesforce was called.
   */
  lastAnswer?: Answer;
  /**
   * The policy that applies, with defaults filled in.
   */
  policy: Policy;
  /**
   * How the conversation ended. Present when the phase is Ended.
   */
  outcome?: Outcome;
}
/**
 * A requested close.
 */
export interface Closing {
  by: By;
  /**
   * The MessagingSession record id, with 15 or 18 characters. Both forms name the same session.
   */
  sessionId?: string;
  /**
   * RFC 3339, with a time zone. The years 1970 to 9999, both in this zone and in UTC. At most 64 characters.
   */
  at: string;
}
