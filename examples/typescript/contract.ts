// The payloads that this example uses; docs/contract/conversation.schema.json
// has them all, with their descriptions.

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

export interface Promised {
  sender?: string;
  window?: string;
}

export interface Start extends Identity, Promised {
  policy?: Policy;
  at?: string;
  provisional?: boolean;
}

export interface Message extends Promised {
  sessionId?: string;
  at?: string;
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
  covers: string;
  sessionId?: string;
  attempts: number;
}

export interface Status {
  phase: 'Active' | 'Inactive' | 'Ended' | 'Blocked';
  lastMessageAt?: string;
  promisedUntil?: string;
  inactivateAt?: string;
}

export const workflowId = (id: Identity) => `${id.orgId}:${id.conversationIdentifier}`;
