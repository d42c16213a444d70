import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure, Client, Connection, WorkflowUpdateFailedError } from '@temporalio/client';
import type { Start } from './contract.js';
import { Conversations } from './conversations.js';
import { WindowedReporter } from './windows.js';

const connection = await Connection.connect({ address: process.env.TEMPORAL_ADDRESS ?? 'localhost:7233' });
const conversations = new Conversations(new Client({ connection }));

const id: Start = {
  orgId: '00D000000000001',
  authorizationContext: 'Partner1_ChannelDefinition1',
  channelAddressIdentifier: '8f5d1c1e-2f0a-4c58-9a34-6b1c0d2e7f01',
  endUserClientId: 'visitor-17',
  conversationIdentifier: `typescript-${randomUUID()}`,
  sessionId: '0Mw000000000001AAA',
};
const now = () => new Date().toISOString();

await conversations.start({ ...id, policy: { inactivateAfter: '4s', endAfter: '1h' }, at: now() });

// Plainly: one message, one signal. No promise, no state.
await conversations.message(id, { sessionId: id.sessionId, at: now() });
console.log('after a plain message', await conversations.status(id));

// In windows: ten messages every 20 ms for three seconds, half of inactivateAfter for the window.
const reporter = new WindowedReporter(conversations, 2000);
let messages = 0;
for (const until = Date.now() + 3000; Date.now() < until; await sleep(20)) {
  for (let i = 0; i < 10; i++, messages++) await reporter.message(id);
}
console.log(`${messages} messages in ${reporter.reports} reports`, await conversations.status(id));

// The end user hangs up: what is kept goes first.
await reporter.flush(id);
try {
  console.log('outcome', await conversations.close(id, { by: 'EndUser', sessionId: id.sessionId, at: now() }));
} catch (err) {
  if (!(err instanceof WorkflowUpdateFailedError) || !(err.cause instanceof ApplicationFailure)) throw err;
  console.log(`an operator is needed: ${err.cause.type}: ${err.cause.message}`);
}
await reporter.close();
await connection.close();
