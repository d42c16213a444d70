import { randomUUID } from 'node:crypto';
import type { Message } from './contract.js';
import { type Conversations, type Identity, workflowId } from './conversations.js';

/** What the sender knows of one conversation. Times are milliseconds since 1970; 0 means none. */
interface Entry {
  id: Identity;
  /** The time of the newest message. */
  last: number;
  /** The newest time that the conversation has acknowledged. */
  acked: number;
  /** When the lease ends that the conversation has acknowledged. */
  leaseUntil: number;
  /** The report that is under way. */
  inFlight?: Promise<void>;
  /** Starts the next report. */
  timer?: NodeJS.Timeout;
}

/**
 * Reports messages in windows, so that cost depends on how long a chat lasts and not on how many messages it has.
 *
 * The first message is reported at once and acquires a lease. Messages that follow are collected. At the end of the
 * window the last one is reported and renews the lease. If there was none, the lease is released.
 *
 * A message is collected only while a lease is held. So if this process dies, the session is made Inactive late by at
 * most one window, and never early.
 */
export class WindowedSender {
  reports = 0;
  private readonly holder = randomUUID();
  private readonly entries = new Map<string, Entry>();
  private closing = false;

  /** windowMs is at most inactivateAfter of the conversations. */
  constructor(
    private readonly conversations: Conversations,
    private readonly windowMs: number,
  ) {}

  /**
   * Resolves when the message is covered: the conversation has acknowledged its time, or a lease that lasts longer.
   * If it rejects, the message is kept and its report is tried again.
   */
  async message(id: Identity, at = Date.now()): Promise<void> {
    const entry = await this.entry(id);
    at = Math.min(at, Date.now());
    entry.last = Math.max(entry.last, at);
    while (at > entry.acked && at > entry.leaseUntil) await this.report(entry);
  }

  /** Reports the collected messages of a conversation. Call it before a close, so that events arrive in order. */
  async flush(id: Identity): Promise<void> {
    const entry = this.entries.get(workflowId(id));
    while (entry && entry.last > entry.acked) await this.report(entry);
  }

  /** Reports all collected messages and releases all leases. Call it before the process ends. */
  async close(): Promise<void> {
    this.closing = true;
    for (const entry of this.entries.values()) {
      while (entry.last > entry.acked || entry.leaseUntil) await this.report(entry);
    }
  }

  /** Returns the entry of a conversation. A new session gets a new entry, after the old one is flushed. */
  private async entry(id: Identity): Promise<Entry> {
    const key = workflowId(id);
    const known = this.entries.get(key);
    if (known && known.id.sessionId !== id.sessionId) {
      await this.flush(id);
      this.drop(known);
    }
    const entry = this.entries.get(key) ?? { id, last: 0, acked: 0, leaseUntil: 0 };
    this.entries.set(key, entry);
    return entry;
  }

  /** Sends a report, or joins the one that is under way: at most one report of a conversation is in flight. */
  private report(entry: Entry): Promise<void> {
    entry.inFlight ??= this.send(entry).finally(() => (entry.inFlight = undefined));
    return entry.inFlight;
  }

  private async send(entry: Entry): Promise<void> {
    const { id, last, acked } = entry;
    clearTimeout(entry.timer);
    const hasUnacked = last > acked;
    // Without new messages, and while the sender closes, the report releases the lease.
    const acquires = hasUnacked && !this.closing;
    const requestedUntil = acquires ? last + this.windowMs : 0;
    const message: Message = {
      sessionId: id.sessionId,
      at: new Date(last).toISOString(),
      lease: { holder: this.holder, ...(acquires && { duration: `${this.windowMs}ms` }) },
    };
    // While a report is in flight we do not know which lease the workflow holds, so trust the shorter one.
    entry.leaseUntil = Math.min(entry.leaseUntil, requestedUntil);
    try {
      await (hasUnacked ? this.conversations.message(id, message) : this.conversations.releaseLease(id, message));
    } catch (err) {
      this.reportAfter(entry, 1000);
      throw err;
    }
    this.reports++;
    entry.acked = last;
    entry.leaseUntil = requestedUntil;
    if (acquires) {
      // Renew before the lease ends: the report takes time to arrive.
      this.reportAfter(entry, entry.leaseUntil - this.windowMs / 50 - Date.now());
    } else if (entry.last <= entry.acked) {
      this.drop(entry);
    }
  }

  private reportAfter(entry: Entry, ms: number): void {
    // A report that fails sets the timer again.
    entry.timer = setTimeout(() => this.report(entry).catch(() => {}), ms);
  }

  private drop(entry: Entry): void {
    clearTimeout(entry.timer);
    if (this.entries.get(workflowId(entry.id)) === entry) this.entries.delete(workflowId(entry.id));
  }
}
