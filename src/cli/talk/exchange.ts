// Sends one message and receives the answer. Parses the escapes of the argument MESSAGE.

import { escapeLine } from "../frame/escape.js";
import { Failure, UsageError } from "../frame/failure.js";
import { formatTime } from "../frame/units.js";
import type { Channel } from "./channel.js";

export interface ExchangePlan {
  /** --line: the answer is the first line. */
  readonly line: boolean;
  /** --max: on a stream, the maximum number of bytes that are stored while the end of the answer is missing. */
  readonly max: number;
  /** --no-answer: the exchange ends when the message is sent. */
  readonly noAnswer: boolean;
  /** Aborted at Ctrl-C. */
  readonly signal: AbortSignal;
  /** --timeout: milliseconds for the whole exchange. */
  readonly timeout: number;
}

/**
 * Sends the message, receives the answer, and closes the channel. Resolves with the answer, or with an empty Buffer if
 * `noAnswer` is set.
 */
export async function exchange(channel: Channel, message: Buffer, plan: ExchangePlan): Promise<Buffer> {
  const { noAnswer, line, timeout } = plan;
  const ending = new AbortController();
  const { signal } = ending;
  const timeoutError = new Failure(`${channel.name} did not answer within ${formatTime(timeout)}`);
  const timer = setTimeout(() => ending.abort(timeoutError), timeout);
  const onAbort = (): void => ending.abort(plan.signal.reason);
  plan.signal.addEventListener("abort", onAbort, { once: true });
  if (plan.signal.aborted) onAbort();
  let answer: Buffer = Buffer.alloc(0);
  try {
    await channel.send(message, { signal });
    // finish() half-closes, so that the server sees the end of the message. Some servers then close before they answer.
    // With --line the message is a line, so the server does not need that end.
    if (!line) await channel.finish();
    if (!noAnswer) answer = await receive(channel, { ...plan, signal });
    await channel.close();
  } catch (error) {
    channel.abort();
    throw error;
  } finally {
    clearTimeout(timer);
    plan.signal.removeEventListener("abort", onAbort);
  }
  return answer;
}

/** Receives one message. From a stream: one line (with --line), or all bytes until the peer has finished. */
async function receive(channel: Channel, { line, max, signal }: ExchangePlan): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for (;;) {
    const data = await channel.receive({ signal });
    if (data === null) {
      if (line) throw new Failure(`${channel.name} finished before the end of a line`);
      return Buffer.concat(parts);
    }
    const lineFeedAt = line ? data.indexOf("\n") : -1;
    const hasLineEnd = lineFeedAt >= 0;
    // Copied, because the channel reuses its buffer.
    parts.push(Buffer.from(hasLineEnd ? data.subarray(0, lineFeedAt + 1) : data));
    length += data.length;
    if (hasLineEnd || channel.isMessageBased) return Buffer.concat(parts);
    // --max limits the memory for an answer that does not end. So the length is checked only while the end is missing.
    if (length > max) throw new Failure(`${channel.name} sent more than ${max} bytes; --max sets another limit`);
  }
}

/** The characters that an escape of one letter stands for. */
const ESCAPED: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "\\": "\\", "0": "\0" };

/** Replaces the escapes `\n`, `\r`, `\t`, `\\`, `\0` and `\xNN` of the argument MESSAGE. */
export function parseEscapes(text: string): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  // The alternative `$` matches a backslash at the end of the text, which is an error.
  for (const match of text.matchAll(/\\(x[\da-f]{2}|.|$)/gis)) {
    const escape = match[1]!;
    const isHex = /^x[\da-f]{2}$/i.test(escape);
    const byte = isHex ? Number.parseInt(escape.slice(1), 16) : ESCAPED[escape]?.charCodeAt(0);
    if (byte === undefined) {
      const found = escape === "" ? "ends with a backslash" : `has \\${escapeLine(escape)}`;
      throw new UsageError(`MESSAGE ${found}, required n, r, t, \\, 0 or xNN after each backslash`);
    }
    parts.push(Buffer.from(text.slice(from, match.index)), Buffer.of(byte));
    from = match.index + match[0].length;
  }
  parts.push(Buffer.from(text.slice(from)));
  return Buffer.concat(parts);
}
