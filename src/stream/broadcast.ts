// broadcast(): writes one message to many streams. A slow peer does not delay the others, unless `slow` is "wait".
//
// The bytes of the message are made once, and all streams write the same bytes. So a slow peer costs one pending write,
// and no copy. A stream writes a whole message or nothing of it, so it never sends a part of a frame.
//
// The reactor empties an outbox when it dispatches events. It dispatches none while a program runs only microtasks.
// Such a program would fill the outbox of a peer that reads, and that peer would count as slow. So when a quarter of
// the limit of an outbox was added since the last turn, the call resolves only after a turn of the event loop.

import { isUint8Array } from "node:util/types";
import { bytesToSend, checkNames, checkOptions, quote, quoteNonInstance } from "../check/index.js";
import type { Data, IoOptions } from "../io.js";
import { timeoutError } from "../wait/localError.js";
import { optionsError } from "../wait/pendingCall.js";
import { within } from "../wait/within.js";
import { adoptSignal } from "../wait/aborts.js";
import { threadTurnBudget } from "../wait/turnBudget.js";
import { NO_WRITE, type Outbox } from "./outbox.js";
import { outboxOf, type Stream } from "./stream.js";

/**
 * The policy of `broadcast()` for slow peers. A peer is slow if the message does not fit into the outbox of its stream
 * (`maxOutbox`).
 *
 * - `"drop"`: the slow peer does not get the message.
 * - `"disconnect"`: `broadcast()` calls `abort()` of its stream.
 * - `"wait"`: the slow peer gets the message, and `broadcast()` waits until every stream has written it.
 */
export type SlowPeer = "drop" | "disconnect" | "wait";

/**
 * The options of `broadcast()`. `timeout` and `signal` are allowed only with `slow: "wait"`. They end the wait; the
 * messages are still sent.
 */
export interface BroadcastOptions extends IoOptions {
  /** What to do if a peer is slow. Required. */
  readonly slow: SlowPeer;
}

/**
 * The result of `broadcast()`. Each stream counts once, except that with `"wait"` a slow stream also counts in `sent`
 * or in `failed`.
 */
export interface BroadcastResult<S extends Stream = Stream> {
  /** The number of streams that have written the message or have it in their outbox. */
  readonly sent: number;
  /** The streams in whose outbox the message did not fit. They did not get it, unless `slow` is `"wait"`. */
  readonly slow: readonly S[];
  /** The streams whose write has failed, for example because the connection was closed, and the error of each. */
  readonly failed: readonly { readonly stream: S; readonly error: unknown }[];
}

const POLICIES: readonly unknown[] = ["drop", "disconnect", "wait"];
const ACTION = "broadcast";

/**
 * Writes one message to each of many streams. If one stream fails, the others still get the message.
 *
 * If the peer reads, the outbox of its stream is empty, and the stream writes the message at once. If the peer does not
 * read, the buffers of the kernel fill. Then messages wait in the outbox of the stream, at most `maxOutbox` bytes. If a
 * message does not fit, `slow` decides.
 *
 * With `"drop"` and `"disconnect"` the promise waits for no peer. It resolves at once, or after a turn of the event
 * loop if the calls since the last turn have filled a quarter of an outbox. So await each call: otherwise a peer that
 * reads may count as slow. With `"wait"` the promise resolves when each stream has written the message or has failed. A
 * stream whose outbox already exceeds its limit is in `failed` with an {@link OutboxFullError}.
 *
 * Do not change the bytes afterwards: `broadcast()` does not copy them, and they may wait for a long time. If the
 * connection breaks while a message waits in an outbox, the reads of that stream and `whenBroken()` report it.
 *
 * @throws TypeError or RangeError (by rejecting) for an argument that is wrong; nothing is written
 * @throws TimeoutError (by rejecting) with `"wait"`, after `timeout`; the messages are still sent
 * @throws the reason of `signal` (by rejecting) with `"wait"`, after an abort; the messages are still sent
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
  const { slow: policy } = checkBroadcastOptions(opts);
  const recipients = recipientsOf(streams);
  const parts = bytesToSend(data, ACTION);
  const bytes = isUint8Array(parts) ? parts : Buffer.concat(parts);
  const slow: S[] = [];
  const failed: { stream: S; error: unknown }[] = [];
  const awaited: Promise<unknown>[] = [];
  const fillingOutboxes: Outbox[] = [];
  for (const { stream, outbox } of recipients) {
    try {
      // The promise of a write that waits, true if the message was written at once, or undefined if it does not fit.
      let outcome = outbox.offer(bytes, { mayExceedLimit: false });
      if (outcome === undefined) {
        slow.push(stream);
        if (policy === "disconnect") stream.abort();
        if (policy !== "wait") continue;
        outcome = outbox.offer(bytes, { mayExceedLimit: true });
        if (outcome === undefined) throw outbox.fullError(bytes.length);
      }
      if (outcome === true) continue;
      if (outbox.needsTurn) fillingOutboxes.push(outbox);
      const settled = outcome.catch((error: unknown) => void failed.push({ stream, error }));
      // NO_WRITE: no write waits, so this write has ended already. Its promise settles in this turn, perhaps with an
      // error for `failed`.
      if (policy === "wait" || stream.writeProgress === NO_WRITE) awaited.push(settled);
    } catch (error) {
      failed.push({ stream, error });
    }
  }
  if (fillingOutboxes.length > 0) {
    // Two turns, because the first one may begin before the event loop polls for events.
    await threadTurnBudget.next();
    await threadTurnBudget.next();
    for (const outbox of fillingOutboxes) outbox.onTurnPassed();
  }
  if (awaited.length > 0) {
    const { timeout = null, signal } = opts;
    const adopted = adoptSignal(signal);
    const makeTimeoutError = (): Error => timeoutError(ACTION);
    await within(Promise.all(awaited), timeout, adopted === undefined ? [] : [adopted], makeTimeoutError);
  }
  const notSent = policy === "wait" ? 0 : slow.length;
  // A copy, because a message that fails later must not change the result.
  return { sent: recipients.length - notSent - failed.length, slow, failed: [...failed] };
}

/** A stream to which the message goes, and its outbox. */
interface Recipient<S> {
  readonly stream: S;
  readonly outbox: Outbox;
}

/** Checks the streams, removes duplicates, and returns each stream with its outbox. */
function recipientsOf<S extends Stream>(streams: Iterable<S>): Recipient<S>[] {
  if (typeof (streams as Iterable<S> | undefined)?.[Symbol.iterator] !== "function" || typeof streams === "string") {
    throw new TypeError(`Cannot ${ACTION}: streams is ${quote(streams)}, required an iterable of Streams`);
  }
  return [...new Set(streams)].map((stream, index) => {
    const outbox = outboxOf(stream);
    if (outbox !== undefined) return { stream, outbox };
    throw new TypeError(
      `Cannot ${ACTION}: streams[${index}] is ${quoteNonInstance(stream, "Stream")}, required a Stream`,
    );
  });
}

function checkBroadcastOptions(opts: BroadcastOptions | undefined): BroadcastOptions {
  const given: Partial<BroadcastOptions> = opts ?? {};
  checkOptions(given, ACTION);
  const { slow } = given;
  if (!POLICIES.includes(slow)) {
    throw new TypeError(`Cannot ${ACTION}: slow is ${quote(slow)}, required "drop", "disconnect" or "wait"`);
  }
  const knownNames = slow === "wait" ? ["slow", "timeout", "signal"] : ["slow"];
  checkNames(given, knownNames, ACTION, `slow: ${quote(slow)}`);
  const refused = optionsError(given, ACTION, knownNames);
  if (refused !== undefined) throw refused.error;
  return given as BroadcastOptions;
}
