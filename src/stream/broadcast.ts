// broadcast(): one message to many streams, where a slow peer need not stop the others.
//
// The bytes of the message are made once. Each stream writes these same bytes, so a message costs each peer that is slow
// a pending write, and no copy. A message is written to a stream as a whole or not at all, so the framing of the
// protocol stays right whatever happens to a slow peer.
//
// Bytes leave an outbox in events, and no event comes while a loop goes on in microtasks. So a peer must not count as
// slow because the loop has not turned. A message that does not fit can't be offered again in a later turn: messages of
// other calls would come before it. So the turn comes first: a call that has filled a quarter of an outbox resolves
// when the event loop has turned, and the outbox has room for the messages of three more such calls by then.

import { isUint8Array } from "node:util/types";
import { bytesToSend, checkNames, checkOptions, quote, quoteOther } from "../check/index.js";
import type { Data, IoOptions } from "../io.js";
import { timeoutError } from "../wait/localError.js";
import { optionsError } from "../wait/pendingCall.js";
import { within } from "../wait/within.js";
import { adoptSignal } from "../wait/aborts.js";
import { threadTurn } from "../wait/turnBudget.js";
import { NO_WRITE, type Outbox } from "./outbox.js";
import { outboxOf, type Stream } from "./stream.js";

/**
 * What happens to a peer that is slow: the message does not fit into the outbox of its stream (`maxOutbox`).
 *
 * - `"drop"`: this peer does not get this message.
 * - `"disconnect"`: `abort()` of its stream.
 * - `"wait"`: it gets the message, and `broadcast()` waits until every peer has taken the message.
 */
export type SlowPeer = "drop" | "disconnect" | "wait";

/** How to send to many streams. `timeout` and `signal` apply to `slow: "wait"` only, and end only the wait. */
export interface BroadcastOptions extends IoOptions {
  /** What happens to a peer that is slow. It has no default. */
  readonly slow: SlowPeer;
}

/** What became of a message. Each stream counts once, except that one that was slow and waited for is in `sent` too. */
export interface BroadcastResult<S extends Stream = Stream> {
  /** The number of streams that have taken the message, or whose outbox has it. */
  readonly sent: number;
  /** The streams whose outbox had no room. They did not get the message, unless `slow` is `"wait"`. */
  readonly slow: readonly S[];
  /** The streams whose connection has failed, or was closed, and the error of each. */
  readonly failed: readonly { readonly stream: S; readonly error: unknown }[];
}

const POLICIES: readonly unknown[] = ["drop", "disconnect", "wait"];
const ACTION = "broadcast";

/**
 * Writes one message to each of many streams. A failure of one stream concerns no other stream.
 *
 * A stream whose peer reads has an empty outbox, and takes the message at once. If the peer does not read, its kernel's
 * buffers fill, and then messages wait in the outbox of its stream, at most `maxOutbox` bytes. `slow` says what happens
 * when a message does not fit. With `"drop"` and `"disconnect"` the promise waits for no peer. It resolves at once, or
 * after a turn of the event loop if this call has filled a quarter of an outbox. So await each call: then a peer that
 * reads gets its turns before it can count as slow. With `"wait"` the promise resolves when each stream has taken the
 * message or has failed. Then the slowest peer sets the pace. A stream that a second call finds over its limit is in
 * `failed`, with an {@link OutboxFullError}.
 *
 * Pass bytes that no code changes afterwards: they are not copied, and may wait for a long time. If a message that waits
 * in an outbox fails later, the reads of that stream and `whenBroken()` report it.
 *
 * @throws TypeError or RangeError (by rejecting) for an argument that is wrong; nothing is written
 * @throws TimeoutError (by rejecting) with `"wait"`, after `timeout`; the reason of `signal`. The messages still go out
 * @example
 * ```ts
 * import { broadcast, Stream } from "berkeley";
 * import { memoryPair } from "berkeley/testing";
 *
 * const [a, peer] = memoryPair();
 * const [b, idle] = memoryPair({ capacity: 4 }); // a peer that does not read
 * const streams = new Set([new Stream(a), new Stream(b, { maxOutbox: 10 })]);
 * for (const text of ["first\n", "second\n", "third\n"]) {
 *   const { sent, slow } = await broadcast(streams, text, { slow: "drop" });
 *   console.log(sent, slow.length);
 * }
 * // prints: 2 0
 * // prints: 2 0
 * // prints: 1 1
 * for await (const line of new Stream(peer).lines()) if (line === "third") break;
 * console.log(await new Stream(idle).readLine()); // prints: first
 * ```
 */
export async function broadcast<S extends Stream>(
  streams: Iterable<S>,
  data: Data,
  opts: BroadcastOptions,
): Promise<BroadcastResult<S>> {
  const { slow: policy } = checkArguments(opts);
  const targets = targetsOf(streams);
  const given = bytesToSend(data, ACTION);
  const bytes = isUint8Array(given) ? given : Buffer.concat(given);
  const slow: S[] = [];
  const failed: { stream: S; error: unknown }[] = [];
  const waiting: Promise<unknown>[] = [];
  const filled: Outbox[] = [];
  for (const { stream, outbox } of targets) {
    try {
      let taken = outbox.offer(bytes, false);
      if (taken === undefined) {
        slow.push(stream);
        if (policy === "disconnect") stream.abort();
        if (policy !== "wait") continue;
        taken = outbox.offer(bytes, true);
        if (taken === undefined) throw outbox.fullError(bytes.length);
      }
      if (taken === true) continue;
      if (outbox.needsTurn) filled.push(outbox);
      const settled = taken.catch((error: unknown) => void failed.push({ stream, error }));
      // Without a pending write the promise is settled already.
      if (policy === "wait" || stream.writeProgress === NO_WRITE) waiting.push(settled);
    } catch (error) {
      failed.push({ stream, error });
    }
  }
  if (filled.length > 0) {
    // The callbacks of the first turn may run before the loop has polled for events.
    await threadTurn.next();
    await threadTurn.next();
    for (const outbox of filled) outbox.turnPassed();
  }
  if (waiting.length > 0) {
    const { timeout = null, signal } = opts;
    const adopted = adoptSignal(signal);
    const late = (): Error => timeoutError(ACTION);
    await within(Promise.all(waiting), timeout, adopted === undefined ? [] : [adopted], late);
  }
  const unsent = policy === "wait" ? 0 : slow.length;
  // A copy, because a message that fails later must not change the result.
  return { sent: targets.length - unsent - failed.length, slow, failed: [...failed] };
}

/** A stream, and its outbox. */
interface Target<S> {
  readonly stream: S;
  readonly outbox: Outbox;
}

/** The streams, checked: each of them once, in their order. */
function targetsOf<S extends Stream>(streams: Iterable<S>): Target<S>[] {
  if (typeof (streams as Iterable<S> | undefined)?.[Symbol.iterator] !== "function" || typeof streams === "string") {
    throw new TypeError(`Cannot ${ACTION}: streams is ${quote(streams)}, required an iterable of Streams`);
  }
  return [...new Set(streams)].map((stream, index) => {
    const outbox = outboxOf(stream);
    if (outbox !== undefined) return { stream, outbox };
    throw new TypeError(`Cannot ${ACTION}: streams[${index}] is ${quoteOther(stream, "Stream")}, required a Stream`);
  });
}

function checkArguments(opts: BroadcastOptions | undefined): BroadcastOptions {
  const given: Partial<BroadcastOptions> = opts ?? {};
  checkOptions(given, ACTION);
  const { slow } = given;
  if (!POLICIES.includes(slow)) {
    throw new TypeError(`Cannot ${ACTION}: slow is ${quote(slow)}, required "drop", "disconnect" or "wait"`);
  }
  const known = slow === "wait" ? ["slow", "timeout", "signal"] : ["slow"];
  checkNames(given, known, ACTION, `slow: ${quote(slow)}`);
  const refused = optionsError(given, ACTION, known);
  if (refused !== undefined) throw refused.error;
  return given as BroadcastOptions;
}
