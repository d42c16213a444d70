import { randomUUID } from 'node:crypto';
import {
  type Client,
  WithStartWorkflowOperation,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  type WorkflowIdReusePolicy,
} from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, defineSearchAttributeKey, SearchAttributeType, type Workflow } from '@temporalio/common';
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
    const timed = { at: new Date().toISOString(), ...close }; // the same for all attempts
    const event: Update = {
      input: provisional(id, timed),
      signal: 'close',
      payload: { sessionId: id.sessionId, ...timed },
      updateId: randomUUID(),
    };
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.closeOnce(event);
      } catch (err) {
        // The workflow was completing when the update arrived, and has completed by now. Or the session is that of
        // the next run, which exists by now.
        const again = err instanceof WorkflowNotFoundError || isOfNextRun(err);
        if (!again || attempt === 10) throw err;
      }
    }
  }

  private async closeOnce(event: Update): Promise<Outcome> {
    try {
      return await this.update(event, 'REJECT_DUPLICATE');
    } catch (err) {
      if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
      const lastRun = await this.lastRun(event.input);
      if (lastRun.outcome && belongsTo(lastRun, event)) return lastRun.outcome;
      return this.update({ ...event, input: after(lastRun, event) }, lastRun.reuse);
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
      await this.signal({ ...event, input: after(lastRun, event) }, lastRun.reuse);
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
    const run = await this.temporal.workflow.getHandle(workflowId(id)).describe();
    const handle = this.temporal.workflow.getHandle(workflowId(id), run.runId);
    const completed = run.status.name === 'COMPLETED';
    const reuse = completed ? 'ALLOW_DUPLICATE' : 'ALLOW_DUPLICATE_FAILED_ONLY';
    if (!completed && run.status.name !== 'CANCELLED') return { endsEventsUntil: run.closeTime, reuse };
    const outcome = await handle.result().catch(outcomeOfCanceled);
    return { endsEventsUntil: outcome ? new Date(outcome.endsEventsUntil) : run.closeTime, outcome, reuse };
  }
}

function isOfNextRun(err: unknown): boolean {
  return (
    err instanceof WorkflowUpdateFailedError && err.cause instanceof ApplicationFailure && err.cause.type === 'NEXT_RUN'
  );
}

/** The outcome of a cancelled run, if the session had ended before. */
function outcomeOfCanceled(err: unknown): Outcome | undefined {
  if (!(err instanceof WorkflowFailedError) || !(err.cause instanceof CancelledFailure)) throw err;
  return err.cause.details?.[0] as Outcome | undefined;
}

/** How the last run of a conversation ended. A run that failed has no outcome. */
interface LastRun {
  /** Events up to this time belong to the run. */
  endsEventsUntil?: Date;
  outcome?: Outcome;
  /**
   * The policy for the next run. If another run has completed meanwhile, the event is refused again: a program that must
   * not lose it sends it once more.
   */
  reuse: WorkflowIdReusePolicy;
}

/** The clocks of a partner's systems may differ by this much. */
const clockTolerance = 5000;

/** Whether an event belongs to a run that has ended, or to one before it. */
function belongsTo(run: LastRun, event: Event): boolean {
  const { outcome } = run;
  if (outcome && mayBeInactive(outcome) && isStillToEnd(outcome, event)) return false;
  if (outcome && !mayBeInactive(outcome) && sameSession(event.payload.sessionId, outcome.sessionId)) return true;
  const until = belongsUntil(run, event);
  return event.payload.at !== undefined && until !== undefined && Date.parse(event.payload.at) <= until;
}

/** Whether Salesforce answered only that the session is not active. It may be Inactive, and is not over then. */
function mayBeInactive(outcome: Outcome): boolean {
  return outcome.why === 'AlreadyOver' && !!outcome.lastAnswer?.notActive;
}

/** Whether an event is a close of the session of an outcome. */
function isStillToEnd({ sessionId, startedAt }: Outcome, { signal, payload }: Event): boolean {
  if (signal !== 'close') return false;
  const isLater = !payload.at || !startedAt || Date.parse(payload.at) >= Date.parse(startedAt);
  return payload.sessionId ? sameSession(payload.sessionId, sessionId) : isLater;
}

/** The latest time of an event that belongs to a run or to one before it. */
function belongsUntil({ endsEventsUntil, outcome }: LastRun, { signal, payload }: Event): number | undefined {
  const end = endsEventsUntil?.getTime();
  if (!end || !outcome?.startedAt || sameSession(payload.sessionId, outcome.sessionId)) return end;
  const began = Date.parse(outcome.startedAt) + clockTolerance;
  if (!payload.sessionId || !outcome.sessionId) return signal === 'close' ? end + clockTolerance : end;
  if (signal === 'session-status') return Math.max(end, began);
  const isKnownEnd = outcome.why !== 'Idle' && outcome.why !== 'AlreadyOver'; // else it is only the last event
  return Math.min(began, isKnownEnd ? end : Math.max(end, Date.parse(outcome.at)));
}

/** Salesforce ids have 15 or 18 characters. The first 15 identify the record. */
function sameSession(a?: string, b?: string): boolean {
  return !!a && !!b && a.slice(0, 15) === b.slice(0, 15);
}

/** The input of the run after another one: it says what is known of the session before, and keeps its policy. */
function after({ endsEventsUntil, outcome }: LastRun, event: Event): Input {
  const input = { ...event.input, policy: event.input.policy ?? (event.input.provisional ? outcome?.policy : undefined) };
  const goesOn =
    outcome &&
    mayBeInactive(outcome) &&
    (isStillToEnd(outcome, event) || sameSession(input.sessionId, outcome.sessionId));
  if (goesOn) return { ...input, sessionId: outcome.sessionId, at: outcome.startedAt };
  const isOver = outcome && (!mayBeInactive(outcome) || input.sessionId); // another session has begun
  const sessionId = isOver ? outcome.sessionId : undefined;
  return { ...input, previous: { sessionId, endsEventsUntil: endsEventsUntil?.toISOString() } };
}

/** The workflow input for a conversation whose first event is not a start. */
function provisional(id: Identity, event: { sessionId?: string; at?: string }): Input {
  return { ...id, sessionId: event.sessionId ?? id.sessionId, at: event.at, provisional: true };
}
