import { randomUUID } from 'node:crypto';
import {
  type Client,
  WithStartWorkflowOperation,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  type WorkflowIdReusePolicy,
} from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType, type Workflow } from '@temporalio/common';
import {
  type Close,
  type Input,
  type Message,
  type Outcome,
  type Start,
  type Status,
} from './contract.js';

/** The fields that name a conversation. With more than the two identifiers, an event can start its workflow. */
export type Identity = Omit<Input, 'policy' | 'at' | 'previous' | 'provisional'>;

export const workflowId = (id: Identity) => `${id.orgId}:${id.conversationIdentifier}`;

const sessionPhase = defineSearchAttributeKey('SessionPhase', SearchAttributeType.KEYWORD);
const orgId = defineSearchAttributeKey('OrgId', SearchAttributeType.KEYWORD);

/** An event, and the workflow input that starts the conversation if this is its first event. */
interface Event {
  input: Input;
  signal: string;
  payload: { sessionId?: string; at?: string };
}

/** A close that waits. All its attempts have the same update id. */
interface Update extends Event {
  updateId: string;
}

/** Sends events to conversations, by the rules of docs/wire-contract.md. */
export class Conversations {
  constructor(
    private readonly temporal: Client,
    private readonly taskQueue = 'sessionkeeper',
  ) {}

  /** Starts a conversation, or corrects the identity and policy of the one that runs. */
  async start(start: Start): Promise<void> {
    try {
      await this.temporal.workflow.start('Conversation', {
        ...this.options(start, 'REJECT_DUPLICATE'),
        workflowIdConflictPolicy: 'FAIL',
      });
    } catch (err) {
      if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
      await this.send({ input: start, signal: 'start', payload: start });
    }
  }

  /** Reports one message. */
  async message(id: Identity, message: Message): Promise<void> {
    const payload = { sessionId: id.sessionId, ...message };
    await this.send({ input: provisional(id, message), signal: 'message', payload });
  }

  /** Releases a lease. If the conversation has ended, there is no lease to release. */
  async releaseLease(id: Identity, message: Message): Promise<void> {
    try {
      await this.temporal.workflow.getHandle(workflowId(id)).signal('message', message);
    } catch (err) {
      if (!(err instanceof WorkflowNotFoundError)) throw err;
    }
  }

  /** Closes the conversation and waits for the outcome. */
  async close(id: Identity, close: Close): Promise<Outcome> {
    const event: Update = {
      input: provisional(id, close),
      signal: 'close',
      payload: { sessionId: id.sessionId, ...close },
      updateId: randomUUID(),
    };
    try {
      return await this.update(event, 'REJECT_DUPLICATE').catch((err) => {
        // The workflow was completing when the update arrived. By now it has completed.
        if (err instanceof WorkflowNotFoundError) return this.update(event, 'REJECT_DUPLICATE');
        throw err;
      });
    } catch (err) {
      if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
      const lastRun = await this.lastRun(event.input);
      if (lastRun.outcome && belongsTo(lastRun, event)) return lastRun.outcome;
      return this.update({ ...event, input: after(lastRun, event.input) }, 'ALLOW_DUPLICATE');
    }
  }

  status(id: Identity): Promise<Status> {
    return this.temporal.workflow.getHandle(workflowId(id)).query<Status>('status');
  }

  /** Signals the conversation that runs, or starts one. An event that belongs to a run which has ended is not sent. */
  private async send(event: Event): Promise<void> {
    try {
      await this.signal(event, 'REJECT_DUPLICATE');
    } catch (err) {
      if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
      const lastRun = await this.lastRun(event.input);
      if (belongsTo(lastRun, event)) return;
      await this.signal({ ...event, input: after(lastRun, event.input) }, 'ALLOW_DUPLICATE');
    }
  }

  private signal({ input, signal, payload }: Event, reuse: WorkflowIdReusePolicy) {
    return this.temporal.workflow.signalWithStart('Conversation', {
      ...this.options(input, reuse),
      workflowIdConflictPolicy: 'USE_EXISTING',
      signal,
      signalArgs: [payload],
    });
  }

  private update({ input, payload, updateId }: Update, reuse: WorkflowIdReusePolicy): Promise<Outcome> {
    return this.temporal.workflow.executeUpdateWithStart<Workflow, Outcome, [object]>('close', {
      args: [payload],
      updateId,
      startWorkflowOperation: new WithStartWorkflowOperation('Conversation', {
        ...this.options(input, reuse),
        workflowIdConflictPolicy: 'USE_EXISTING',
      }),
    });
  }

  private options(input: Input, workflowIdReusePolicy: WorkflowIdReusePolicy) {
    return {
      workflowId: workflowId(input),
      taskQueue: this.taskQueue,
      args: [input],
      workflowIdReusePolicy,
      typedSearchAttributes: [
        { key: sessionPhase, value: 'Active' },
        { key: orgId, value: input.orgId },
      ],
    };
  }

  private async lastRun(id: Identity): Promise<LastRun> {
    const handle = this.temporal.workflow.getHandle(workflowId(id));
    const run = await handle.describe();
    if (run.status.name !== 'COMPLETED') return { endsEventsUntil: run.closeTime };
    const outcome: Outcome = await handle.result();
    return { endsEventsUntil: new Date(outcome.endsEventsUntil), outcome };
  }
}

/** How the last run of a conversation ended. A run that failed or was cancelled has no outcome. */
interface LastRun {
  /** Events up to this time belong to the run. */
  endsEventsUntil?: Date;
  outcome?: Outcome;
}

/** Whether an event belongs to a run that has ended: it names that run's session, or it happened before the run's end. */
function belongsTo({ endsEventsUntil, outcome }: LastRun, event: Event): boolean {
  const { sessionId, at } = event.payload;
  if (sameSession(sessionId, outcome?.sessionId)) return true;
  return at !== undefined && endsEventsUntil !== undefined && new Date(at) <= endsEventsUntil;
}

/** Salesforce ids have 15 or 18 characters. The first 15 identify the record. */
function sameSession(a?: string, b?: string): boolean {
  return !!a && !!b && a.slice(0, 15) === b.slice(0, 15);
}

/** The input of the run after another one: it says what is known of the session before, and keeps its policy. */
function after({ endsEventsUntil, outcome }: LastRun, input: Input): Input {
  return {
    ...input,
    policy: input.policy ?? (input.provisional ? outcome?.policy : undefined),
    previous: { sessionId: outcome?.sessionId, endsEventsUntil: endsEventsUntil?.toISOString() },
  };
}

/** The workflow input for a conversation whose first event is not a start. */
function provisional(id: Identity, event: { sessionId?: string; at?: string }): Input {
  return { ...id, sessionId: event.sessionId ?? id.sessionId, at: event.at, provisional: true };
}
