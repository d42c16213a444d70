import { randomUUID } from 'node:crypto';
import { type Identity, type Message, workflowId } from './contract.js';
import type { Conversations } from './conversations.js';

/** What is known of a conversation's messages. Times are milliseconds since 1970, 0 for none. */
interface Window {
  id: Identity;
  /** The last message there was, and the last one that the conversation knows. */
  last: number;
  reported: number;
  /** Until when the conversation counts on the next report, by a promise that it has taken. */
  promised: number;
  flying?: Promise<void>;
  timer?: NodeJS.Timeout;
}

/**
 * Reports messages in windows: the first one at once with the promise to report again, then one per window, so that
 * cost follows time and not messages. Whatever is kept back was written before the end of a promise that the
 * conversation knows. So if this process dies, the session is made Inactive late by at most a window, never early.
 */
export class WindowedReporter {
  reports = 0;
  private readonly sender = randomUUID();
  private readonly windows = new Map<string, Window>();
  private closing = false;

  /** windowMs: at most half of the conversations' inactivateAfter. */
  constructor(
    private readonly conversations: Conversations,
    private readonly windowMs: number,
  ) {}

  /** Resolves once the conversation knows of the message or counts on it. If it rejects, the message is kept and tried again. */
  async message(id: Identity, at = Date.now()): Promise<void> {
    const window = await this.open(id);
    at = Math.min(at, Date.now());
    window.last = Math.max(window.last, at);
    while (at > window.reported && at > window.promised) await this.report(window);
  }

  /** Reports what is kept of a conversation. Call it before its close, so that they arrive in order. */
  async flush(id: Identity): Promise<void> {
    const window = this.windows.get(workflowId(id));
    while (window && window.last > window.reported) await this.report(window);
  }

  /** Reports everything and takes all promises back. Call it before the process ends. */
  async close(): Promise<void> {
    this.closing = true;
    for (const window of this.windows.values()) {
      while (window.last > window.reported || window.promised) await this.report(window);
    }
  }

  /** The window of a conversation's present session. That of another one ends first. */
  private async open(id: Identity): Promise<Window> {
    const known = this.windows.get(workflowId(id));
    if (known && known.id.sessionId !== id.sessionId) {
      await this.flush(id);
      this.forget(known);
    }
    const window = this.windows.get(workflowId(id)) ?? { id, last: 0, reported: 0, promised: 0 };
    this.windows.set(workflowId(id), window);
    return window;
  }

  /** One report at a time: who comes meanwhile waits for it, and then looks again. */
  private report(window: Window): Promise<void> {
    window.flying ??= this.send(window).finally(() => (window.flying = undefined));
    return window.flying;
  }

  private async send(window: Window): Promise<void> {
    const { id, last, reported } = window;
    clearTimeout(window.timer);
    const news = last > reported;
    const promise = news && !this.closing;
    const message: Message = {
      sessionId: id.sessionId,
      at: new Date(last).toISOString(),
      sender: this.sender,
      ...(promise && { window: `${this.windowMs}ms` }),
    };
    // A promise that is being taken back covers nothing any more. One that is being renewed still stands.
    if (!promise) window.promised = 0;
    try {
      await (news ? this.conversations.message(id, message) : this.conversations.takeBack(id, message));
    } catch (err) {
      window.timer = setTimeout(() => this.report(window).catch(() => {}), 1000);
      throw err;
    }
    this.reports++;
    window.reported = last;
    if (promise) {
      window.promised = last + this.windowMs;
      // A little early, so that the promise is kept when the report arrives.
      const due = window.promised - this.windowMs / 50;
      window.timer = setTimeout(() => this.report(window).catch(() => {}), due - Date.now());
    } else if (window.last <= window.reported) {
      this.forget(window);
    }
  }

  private forget(window: Window): void {
    clearTimeout(window.timer);
    if (this.windows.get(workflowId(window.id)) === window) this.windows.delete(workflowId(window.id));
  }
}
