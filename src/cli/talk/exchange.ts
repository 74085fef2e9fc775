// Sends one message and receives the answer. Parses the escapes of the argument MESSAGE.

import { Failure, UsageError } from "../frame/failure.js";
import { formatTime } from "../frame/units.js";
import type { Channel } from "./channel.js";

export interface ExchangePlan {
  /** Whether the answer is one line. */
  readonly line: boolean;
  /** Maximum number of bytes of an answer without a line end, on a stream. */
  readonly max: number;
  /** Whether the exchange ends when the message is sent. */
  readonly noAnswer: boolean;
  /** Aborted at Ctrl-C. */
  readonly signal: AbortSignal;
  /** Milliseconds for the whole exchange. */
  readonly timeout: number;
}

/** Sends the message, receives the answer, and closes the channel. Resolves with the answer; empty with `noAnswer`. */
export async function exchange(channel: Channel, message: Buffer, plan: ExchangePlan): Promise<Buffer> {
  const { noAnswer, line, timeout } = plan;
  const controller = new AbortController();
  const { signal } = controller;
  const timeoutError = new Failure(`${channel.name} did not answer within ${formatTime(timeout)}`);
  const timer = setTimeout(() => controller.abort(timeoutError), timeout);
  const onAbort = (): void => controller.abort(plan.signal.reason);
  plan.signal.addEventListener("abort", onAbort, { once: true });
  if (plan.signal.aborted) onAbort();
  const parts: Buffer[] = [];
  try {
    await channel.send(message, { signal });
    // With --line the sending direction stays open: a server may close without an answer when the client has finished.
    if (!line) await channel.finish();
    if (!noAnswer) await receive(channel, { ...plan, signal }, parts);
    await channel.close();
  } catch (error) {
    channel.abort();
    throw error;
  } finally {
    clearTimeout(timer);
    plan.signal.removeEventListener("abort", onAbort);
  }
  return Buffer.concat(parts);
}

async function receive(channel: Channel, { line, max, signal }: ExchangePlan, parts: Buffer[]): Promise<void> {
  let length = 0;
  for (;;) {
    const data = await channel.receive({ signal });
    if (data === null) {
      if (line) throw new Failure(`${channel.name} finished before the end of a line`);
      return;
    }
    const end = line ? data.indexOf(0x0a) + 1 : 0;
    parts.push(Buffer.from(end > 0 ? data.subarray(0, end) : data));
    length += data.length;
    if (end > 0 || channel.isMessageBased) return;
    if (length > max) throw new Failure(`${channel.name} sent more than ${max} bytes; --max sets another limit`);
  }
}

const CHARACTERS: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "\\": "\\", "0": "\0" };

/** Replaces the escapes `\n`, `\r`, `\t`, `\\`, `\0` and `\xNN` of the argument MESSAGE. */
export function parseEscapes(text: string): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (const match of text.matchAll(/\\(x[\da-f]{2}|.|$)/gis)) {
    const escape = match[1]!;
    const isHex = /^x[\da-f]{2}$/i.test(escape);
    const byte = isHex ? Number.parseInt(escape.slice(1), 16) : CHARACTERS[escape]?.charCodeAt(0);
    if (byte === undefined) {
      throw new UsageError(
        `MESSAGE has ${JSON.stringify(`\\${escape}`)}, required \\n, \\r, \\t, \\\\, \\0 or \\xNN after a backslash`,
      );
    }
    parts.push(Buffer.from(text.slice(from, match.index)), Buffer.of(byte));
    from = match.index + match[0].length;
  }
  parts.push(Buffer.from(text.slice(from)));
  return Buffer.concat(parts);
}
