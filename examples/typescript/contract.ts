// The payloads that this example uses. All payloads, with their descriptions, are in
// docs/contract/conversation.schema.json.

export interface Identity {
  orgId: string;
  authorizationContext?: string;
  channelAddressIdentifier?: string;
  endUserClientId?: string;
  conversationIdentifier: string;
  sessionId?: string;
}

export interface Policy {
  inactivateAfter?: string;
  endAfter?: string;
  blockedFor?: string;
  endOnCancel?: boolean;
}

/** With a duration, the holder acquires or renews its lease. Without one, it releases the lease. */
export interface Lease {
  holder: string;
  duration?: string;
}

export interface Start extends Identity {
  policy?: Policy;
  at?: string;
  provisional?: boolean;
}

export interface Message {
  sessionId?: string;
  at?: string;
  lease?: Lease;
}

export interface Close {
  by?: 'EndUser' | 'System';
  sessionId?: string;
  at?: string;
}

export interface Outcome {
  why: 'Closed' | 'Idle' | 'EndedInSalesforce' | 'AlreadyOver' | 'NewSession' | 'Canceled';
  endedBy?: string;
  at: string;
  endsEventsUntil: string;
  sessionId?: string;
  attempts: number;
}

export interface Status {
  phase: 'Active' | 'Inactive' | 'Ended' | 'Blocked';
  lastMessageAt?: string;
  leaseUntil?: string;
  inactivateAt?: string;
}

export const workflowId = (id: Identity) => `${id.orgId}:${id.conversationIdentifier}`;
