// splice: bytes from socket to socket through a pipe, inside the kernel.
//
// splice(2) needs a pipe between two sockets. splice(2) into the pipe returns EAGAIN in two cases: the source is empty,
// or the pipe is full. A pipe can be full with few bytes in it, because each fragment of a packet occupies one buffer
// of the pipe. So each step has a rule that gives EAGAIN one meaning:
//
// - A flow (the transfer in one direction) fills the pipe only when the pipe is empty. EAGAIN means that the source is
//   empty.
// - Then the flow empties the pipe. EAGAIN means that the destination is full.
//
// So a flow that waits for its source has no bytes in a pipe and needs no pipe. Only a flow that waits for its
// destination keeps a pipe.
//
// A flow has two operations. SPLICE waits in the source's reading queue. Its attempt moves bytes from the source to the
// destination, in one native call. SPLICE_REST empties the pipe. It waits in the destination's writing queue, so other
// writes there come before or after it, never in between.
//
// While a flow waits for its source, a relay can move its bytes in C; see reactor/relay.ts.

import { type Operation, operation, progress } from "../reactor/operation.js";
import { registry } from "../registry/index.js";
import type { Calls } from "../sys/calls.js";
import { EAGAIN, ECANCELED, EINTR, EIO } from "../sys/errno.js";
import type { Pipe, Relay } from "../reactor/relay.js";
import type { PipePool } from "./pipes.js";

/** The maximum number of bytes of an attempt. After each attempt the queue checks the budget of the turn. */
const SPLICE_CHUNK = 1 << 20;

/** A read of fewer bytes is small. The same number as SPLICE_THRESHOLD in native/addon.h. */
const SPLICE_THRESHOLD = 16 << 10;

/** The source or the destination of a flow. */
export interface FlowEnd {
  readonly fd: number;
  /**
   * Whether a read of fewer bytes than requested means that the receive buffer is empty, or that the stream has ended.
   */
  readonly reading: { readonly shortMeansEmpty: boolean; readonly shortMeansEnd: boolean };
  readonly writing: { readonly busy: boolean; setNotReady(): void; wake(): void };
  /** Counts bytes against the budget of a turn. */
  readonly reactor: { spendBytes(count: number): void };
  /** The relay of which this is the source. */
  outflow?: Relay | undefined;
  /** The relay of which this is the destination. */
  inflow?: Relay | undefined;
  /** A relay with this source; undefined if it can have none. */
  makeRelay?(): Relay | undefined;
}

/** The state of the transfer from one socket to another. */
export interface Flow<E extends FlowEnd = FlowEnd> {
  readonly from: E;
  readonly to: E;
  readonly pipes: PipePool;
  /** The maximum number of bytes to read from the source; Infinity for none. */
  readonly limit: number;
  /** The pipe, while it holds bytes. */
  pipe: Pipe | undefined;
  /** The number of bytes read from the source. */
  received: number;
  /** The number of bytes written to the destination. The other received bytes are in the pipe. */
  sent: number;
  /** Called when bytes have moved at `time`, on the clock of `performance.now()`; the default is now. */
  noteActivity(time?: number): void;
  /** Whether the latest read was small. The next bytes are then copied, because splicing few bytes costs more. */
  smallReads: boolean;
  /** The relay that the flow has used. */
  relay?: Relay | undefined;
  /** Whether the flow was started and has ended. */
  readonly over?: boolean;
}

/** Starts a relay, if possible, for a flow that waits for its source and has no bytes in a pipe. */
function startRelay(calls: Calls, source: number, flow: Flow): void {
  const { from, pipes, to } = flow;
  // A relay does not count bytes against a limit.
  if (flow.limit !== Infinity) return;
  // The writes that wait on the destination go first.
  if (to.writing.busy) return;
  // The inspector records calls of JavaScript, and a relay makes none.
  if (registry?.callsReplaced === true) return;
  const relay = flow.relay ?? from.makeRelay?.();
  if (relay === undefined) return;
  // A descriptor has at most one relay in each direction.
  const otherRelayStored = (from.outflow ?? relay) !== relay || (to.inflow ?? relay) !== relay;
  if (otherRelayStored) return;
  const pipeIndex = pipes.share(calls, relay.table);
  if (pipeIndex < 0) return;
  // Both ends store the relay too. As long as they have it, they keep the registration whose slot the relay uses.
  flow.relay = from.outflow = to.inflow = relay;
  relay.open(source, to.fd, pipeIndex, flow.smallReads, from.writing.busy, from.reading.shortMeansEmpty);
}

/**
 * Closes the relay of the flow, and adds the relay's counts to those of the flow. Does nothing if no relay is open.
 *
 * @returns why the relay has stopped: DESTINATION_FULL or -errno; undefined if it could continue
 */
export function closeAndMergeRelay(flow: Flow): number | undefined {
  const { relay } = flow;
  if (relay === undefined) return undefined;
  // Only an open relay has this time.
  const lastActive = relay.lastActive();
  if (!relay.close()) return undefined;
  if (lastActive !== undefined) flow.noteActivity(lastActive);
  // close() has set the fields of the relay.
  flow.smallReads = relay.smallReads;
  flow.sent += relay.sent;
  flow.received += relay.sent + relay.inPipe;
  if (relay.inPipe > 0) flow.pipe = flow.pipes.takeShared();
  // Writes that wait on the source have not got this event.
  if (relay.unreportedEpollout) flow.from.writing.wake();
  // No setNotReady() for the destination: EPOLLOUT may have come after the EAGAIN that stopped the relay.
  if (relay.inPipe > 0 && relay.errno === EAGAIN) return DESTINATION_FULL;
  return relay.errno < 0 && relay.errno !== EAGAIN ? relay.errno : undefined;
}

/** Closes the relay of a flow that has ended, and removes the relay from both sockets. */
export function detachRelay(flow: Flow): void {
  const { from, relay, to } = flow;
  if (relay === undefined) return;
  closeAndMergeRelay(flow);
  if (from.outflow === relay) from.outflow = undefined;
  if (to.inflow === relay) to.inflow = undefined;
}

/** Moves the bytes of the pipe to the destination. Returns 0 when the pipe is empty, or -errno. */
function drainPipe(calls: Calls, destination: number, flow: Flow): number {
  const pipe = flow.pipe!;
  while (flow.sent < flow.received) {
    const result = calls.splice(pipe.readEnd, destination, flow.received - flow.sent);
    if (result > 0) flow.sent += result;
    // splice(2) returns 0 only for an empty pipe, and this one holds bytes.
    else if (result !== EINTR) return result === 0 ? EIO : result;
  }
  flow.pipe = undefined;
  flow.pipes.giveBack(calls, pipe);
  return 0;
}

/** A value of SPLICE: the source has ended, or the limit is reached. */
export const SPLICE_DONE = 0;
/** A value of SPLICE: the destination is full, and the pipe holds bytes. SPLICE_REST must run next. */
export const DESTINATION_FULL = 1;

/** Moves bytes from the source to the destination until the source ends or the destination is full. */
export const SPLICE: Operation<Flow, undefined, number> = operation<Flow, undefined, number>({
  syscall: "splice",
  movesBytes: false,
  attempt: (calls, source, flow) => {
    const { pipes, to } = flow;
    const stopped = closeAndMergeRelay(flow);
    if (stopped !== undefined) return stopped;
    // closeAndMergeRelay() may wake other calls, which may have cancelled this flow.
    if (to.fd < 0 || flow.from.fd < 0 || flow.over === true) return ECANCELED;
    const pipe = pipes.take(calls);
    if (typeof pipe === "number") return pipe;
    // Writes that wait on the destination go first. SPLICE_REST then waits behind them.
    const onlyFill = to.writing.busy;
    const result = onlyFill ? fillPipe(calls, source, flow, pipe) : passThrough(calls, source, flow, pipe);
    if (flow.sent < flow.received) {
      flow.pipe = pipe;
      if (!onlyFill) {
        // The pipe holds bytes. So EAGAIN means that the destination is full. Another error fails the flow.
        if (result !== EAGAIN) return result;
        to.writing.setNotReady();
      }
      return DESTINATION_FULL;
    }
    pipes.giveBack(calls, pipe);
    if (result === EAGAIN) startRelay(calls, source, flow);
    if (result <= 0) return result;
    // passThrough() has spent the bytes from the budget, so progress() gets 0.
    return flow.received < flow.limit ? progress(0) : SPLICE_DONE;
  },
  complete: (result) => result,
  transferred: (flow) => flow.sent,
});

/** Fills the pipe from the source and sends nothing. Returns the byte count, 0 at the end of the source, or -errno. */
function fillPipe(calls: Calls, source: number, flow: Flow, pipe: Pipe): number {
  const result = calls.splice(source, pipe.writeEnd, Math.min(pipe.capacity, flow.limit - flow.received));
  if (result > 0) {
    flow.received += result;
    flow.noteActivity();
  }
  return result;
}

// The flags of `spliceThrough`; the same bits as SPLICE_COPY_FIRST and so on in native/addon.h.
const COPY_FIRST = 1;
const SHORT_READ_IS_EMPTY = 2;
const SHORT_READ_IS_END = 4;

/** Where `spliceThrough` stores the number of bytes read and the number of bytes sent. */
const counts = new Uint32Array(2);
const countBytes = new Uint8Array(counts.buffer);

/**
 * Moves bytes through an empty pipe until the source or the destination is not ready.
 *
 * @returns 1 if it can go on, 0 at the end of the source, or -errno
 */
function passThrough(calls: Calls, source: number, flow: Flow, pipe: Pipe): number {
  const maxBytes = Math.min(flow.limit - flow.received, SPLICE_CHUNK);
  const { readEnd, writeEnd, capacity } = pipe;
  const { shortMeansEmpty, shortMeansEnd } = flow.from.reading;
  const flags =
    (flow.smallReads ? COPY_FIRST : 0) |
    (shortMeansEmpty ? SHORT_READ_IS_EMPTY : 0) |
    (shortMeansEnd ? SHORT_READ_IS_END : 0);
  const result = calls.spliceThrough(source, readEnd, writeEnd, flow.to.fd, capacity, maxBytes, countBytes, flags);
  const count = counts[0]!;
  if (count > 0) {
    flow.smallReads = count < SPLICE_THRESHOLD;
    flow.received += count;
    flow.sent += counts[1]!;
    flow.noteActivity();
    flow.from.reactor.spendBytes(count);
  }
  return result;
}

/** Moves the bytes that are left in the pipe to the destination. */
export const SPLICE_REST: Operation<Flow, undefined, void> = operation<Flow, undefined, void>({
  syscall: "splice",
  movesBytes: true,
  attempt: (calls, destination, flow) => {
    const before = flow.sent;
    const result = drainPipe(calls, destination, flow);
    if (flow.sent > before) flow.noteActivity();
    return result < 0 ? result : flow.sent - before;
  },
  complete: () => undefined,
  transferred: (flow) => flow.sent,
});
