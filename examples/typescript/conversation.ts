import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure, Client, Connection, WorkflowUpdateFailedError } from '@temporalio/client';
import { RemoteCodec } from './codec.js';
import type { Start } from './contract.js';
import { Conversations } from './conversations.js';
import { WindowedSender } from './windows.js';

const connection = await Connection.connect({ address: process.env.TEMPORAL_ADDRESS ?? 'localhost:7233' });
// With the address of `starter codec`, payloads are encrypted.
const { CODEC_ENDPOINT, CODEC_TOKEN = '' } = process.env;
const dataConverter = CODEC_ENDPOINT ? { payloadCodecs: [new RemoteCodec(CODEC_ENDPOINT, CODEC_TOKEN)] } : undefined;
const conversations = new Conversations(new Client({ connection, dataConverter }));

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

// Without windows: one message is one signal. There is no lease and no state in the sender.
await conversations.message(id, { sessionId: id.sessionId, at: now() });
console.log('after one message', await conversations.status(id));

// With windows: ten messages every 20 ms for three seconds. The window is half of inactivateAfter.
const sender = new WindowedSender(conversations, 2000);
let messages = 0;
for (const until = Date.now() + 3000; Date.now() < until; await sleep(20)) {
  for (let i = 0; i < 10; i++, messages++) await sender.message(id);
}
console.log(`${messages} messages in ${sender.reports} reports`, await conversations.status(id));

// The end user hangs up. Messages that were collected are reported before the close.
await sender.flush(id);
try {
  console.log('outcome', await conversations.close(id, { by: 'EndUser', sessionId: id.sessionId, at: now() }));
} catch (err) {
  if (!(err instanceof WorkflowUpdateFailedError) || !(err.cause instanceof ApplicationFailure)) throw err;
  console.log(`an operator is needed: ${err.cause.type}: ${err.cause.message}`);
}
await sender.close();
await connection.close();
