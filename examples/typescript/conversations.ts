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
  type Identity,
  type Message,
  type Outcome,
  type Start,
  type Status,
  workflowId,
} from './contract.js';

const sessionPhase = defineSearchAttributeKey('SessionPhase', SearchAttributeType.KEYWORD);
const orgId = defineSearchAttributeKey('OrgId', SearchAttributeType.KEYWORD);

/** An event, with what starts the conversation if it is the first that is heard of it. */
interface Event {
  input: Start;
  signal: string;
  payload: { at?: string };
  /** The session whose end this is. */
  endOf?: string;
}

/** Conversations are told what happens to them, by the rules of docs/wire-contract.md. */
export class Conversations {
  constructor(
    private readonly temporal: Client,
    private readonly taskQueue = 'sessionkeeper',
  ) {}

  /** Begins a conversation, or corrects the one that runs. */
  async start(start: Start): Promise<void> {
    try {
      await this.temporal.workflow.start('Conversation', {
        ...this.options(start, 'REJECT_DUPLICATE'),
        workflowIdConflictPolicy: 'FAIL',
      });
    } catch (err) {
      if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
      await this.tell({ input: start, signal: 'start', payload: start });
    }
  }

  /** Reports one message. */
  async message(id: Identity, message: Message): Promise<void> {
    await this.tell({ input: provisional(id, message), signal: 'message', payload: message });
  }

  /** Takes a promise back, where the conversation still runs. */
  async takeBack(id: Identity, message: Message): Promise<void> {
    try {
      await this.temporal.workflow.getHandle(workflowId(id)).signal('message', message);
    } catch (err) {
      if (!(err instanceof WorkflowNotFoundError)) throw err;
    }
  }

  /** Asks to End the session, and waits for the outcome. */
  async close(id: Identity, close: Close): Promise<Outcome> {
    const event: Event = { input: provisional(id, close), signal: 'close', payload: close, endOf: close.sessionId };
    try {
      return await this.update(event, 'REJECT_DUPLICATE').catch((err) => {
        // The conversation was completing when it was asked; now it has ended.
        if (err instanceof WorkflowNotFoundError) return this.update(event, 'REJECT_DUPLICATE');
        throw err;
      });
    } catch (err) {
      if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
      const ended = await this.lastRun(event.input);
      return ended.outcome && covers(ended, event) ? ended.outcome : this.update(event, 'ALLOW_DUPLICATE');
    }
  }

  status(id: Identity): Promise<Status> {
    return this.temporal.workflow.getHandle(workflowId(id)).query<Status>('status');
  }

  /** Starts the conversation or signals the one that runs; an event of one that has ended does nothing. */
  private async tell(event: Event): Promise<void> {
    try {
      await this.signal(event, 'REJECT_DUPLICATE');
    } catch (err) {
      if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
      if (!covers(await this.lastRun(event.input), event)) await this.signal(event, 'ALLOW_DUPLICATE');
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

  private update({ input, payload }: Event, reuse: WorkflowIdReusePolicy): Promise<Outcome> {
    return this.temporal.workflow.executeUpdateWithStart<Workflow, Outcome, [object]>('close', {
      args: [payload],
      startWorkflowOperation: new WithStartWorkflowOperation('Conversation', {
        ...this.options(input, reuse),
        workflowIdConflictPolicy: 'USE_EXISTING',
      }),
    });
  }

  private options(input: Start, workflowIdReusePolicy: WorkflowIdReusePolicy) {
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

  private async lastRun(id: Identity): Promise<Ended> {
    const handle = this.temporal.workflow.getHandle(workflowId(id));
    const run = await handle.describe();
    if (run.status.name !== 'COMPLETED') return { until: run.closeTime };
    const outcome: Outcome = await handle.result();
    return { until: new Date(outcome.covers), outcome };
  }
}

/** How a conversation's last run ended. It covers events up to that time. */
interface Ended {
  until?: Date;
  outcome?: Outcome;
}

function covers({ until, outcome }: Ended, event: Event): boolean {
  if (event.endOf && outcome?.sessionId && event.endOf.slice(0, 15) === outcome.sessionId.slice(0, 15)) return true;
  return event.payload.at !== undefined && until !== undefined && new Date(event.payload.at) <= until;
}

/** What a conversation begins with when another event than its start comes first. */
function provisional(id: Identity, event: { sessionId?: string; at?: string }): Start {
  return { ...id, sessionId: event.sessionId ?? id.sessionId, at: event.at, provisional: true };
}
