// splice: bytes from socket to socket through a pipe, inside the kernel.
//
// splice(2) between sockets needs a pipe in between. splice() into the pipe returns EAGAIN in two cases: the source is
// empty, or the pipe is full. A pipe can be full with few bytes in it, because each fragment of a packet takes one of
// its buffers. So each step has a rule that leaves EAGAIN one meaning:
//
// - The pipe is filled only when it is empty. EAGAIN means that the source is empty.
// - The pipe is then emptied. EAGAIN means that the destination is full.
//
// So a flow that waits for its source has no byte in a pipe and needs no pipe. Only flows that wait for their
// destination keep one.
//
// A flow waits for its source as an operation of the source's reading queue. There it also moves bytes to the
// destination, a turn's worth in one native call. It waits for its destination as an operation of the destination's
// writing queue, so other writes there come before or after it, never in between.
//
// While a flow waits for its source, the poller moves bytes in C as long as nothing else happens: see reactor/relay.ts.

import { type Operation, operation, progress } from "../reactor/operation.js";
import { registry } from "../registry/index.js";
import type { Calls } from "../sys/calls.js";
import { EAGAIN, ECANCELED, EINTR, EIO } from "../sys/errno.js";
import type { Pipe, Relay } from "../reactor/relay.js";
import type { PipePool } from "./pipes.js";

/** The bytes after which other calls have their turn. */
const SPLICE_CHUNK = 1 << 20;

/** A read of at least this many bytes makes a flow a large one; the same number as SPLICE_THRESHOLD in native/. */
const SPLICE_THRESHOLD = 16 << 10;

/** The source or the destination of a flow. */
export interface FlowEnd {
  readonly fd: number;
  readonly reading: { readonly shortMeansEmpty: boolean; readonly shortMeansEnd: boolean };
  readonly writing: { readonly busy: boolean; setNotReady(): void; wake(): void };
  /** Counts bytes against the budget of a turn. */
  readonly reactor: { spendBytes(count: number): void };
  /** The relay of which this is the source, and the one of which it is the destination. */
  outflow?: Relay | undefined;
  inflow?: Relay | undefined;
  /** A relay with this source, if it can have one. */
  makeRelay?(): Relay | undefined;
}

/** Bytes on their way from one socket to another. */
export interface Flow<E extends FlowEnd = FlowEnd> {
  readonly from: E;
  readonly to: E;
  readonly pipes: PipePool;
  /** The most bytes to take from the source. */
  readonly limit: number;
  /** The pipe, while it holds bytes. */
  pipe: Pipe | undefined;
  /** Bytes taken from the source. */
  taken: number;
  /** Bytes that the destination has taken. The rest is in the pipe. */
  sent: number;
  /** Called when bytes have moved. `at` is a time of `performance.now()`, the default is now. */
  activity(at?: number): void;
  /** Whether the last read got few bytes. The next bytes are then copied, which costs less than splicing a few. */
  small: boolean;
  /** The relay that the flow has used. */
  relay?: Relay | undefined;
  /** Whether the flow was cancelled. */
  readonly over?: boolean;
}

/** Starts a relay for a flow that waits for its source and has no bytes in a pipe. */
function startRelay(calls: Calls, fd: number, flow: Flow): void {
  const { from, pipes, to } = flow;
  // A relay does not count bytes against a limit.
  if (flow.limit !== Infinity || to.writing.busy) return;
  // A relay calls the kernel in C, where the inspector does not see it.
  if (registry?.seesCalls === true) return;
  const relay = flow.relay ?? from.makeRelay?.();
  if (relay === undefined || (from.outflow ?? relay) !== relay || (to.inflow ?? relay) !== relay) return;
  const pipeIndex = pipes.share(calls, relay.table);
  if (pipeIndex < 0) return;
  // The two ends store the relay as well, so that neither gives up the slot that the relay refers to.
  flow.relay = from.outflow = to.inflow = relay;
  relay.open(fd, to.fd, pipeIndex, flow.small, from.writing.busy, from.reading.shortMeansEmpty);
}

/**
 * Closes the relay and adds its progress to the flow. Returns DESTINATION_FULL, or the -errno that stopped the
 * relay, or undefined if nothing stopped it.
 */
export function closeRelay(flow: Flow): number | undefined {
  const { relay } = flow;
  if (relay === undefined) return undefined;
  const last = relay.lastActive();
  if (!relay.close()) return undefined;
  if (last !== undefined) flow.activity(last);
  flow.small = relay.small;
  flow.sent += relay.passed;
  flow.taken += relay.passed + relay.held;
  if (relay.held > 0) flow.pipe = flow.pipes.takeShared();
  if (relay.missedEpollout) flow.from.writing.wake();
  // No setNotReady() for the destination: EPOLLOUT may have come after the EAGAIN that stopped the relay.
  if (relay.held > 0 && relay.result === EAGAIN) return DESTINATION_FULL;
  return relay.result < 0 && relay.result !== EAGAIN ? relay.result : undefined;
}

/** Closes the relay of a flow that has ended, and takes it from the two ends. */
export function endRelay(flow: Flow): void {
  const { from, relay, to } = flow;
  if (relay === undefined) return;
  closeRelay(flow);
  if (from.outflow === relay) from.outflow = undefined;
  if (to.inflow === relay) to.inflow = undefined;
}

/** Moves the bytes of the pipe to the destination; 0 when the pipe is empty, or -errno. */
function drainPipe(calls: Calls, to: number, flow: Flow): number {
  const pipe = flow.pipe!;
  while (flow.sent < flow.taken) {
    const result = calls.splice(pipe.readEnd, to, flow.taken - flow.sent);
    if (result > 0) flow.sent += result;
    // 0 would be the end of the pipe, which has none while it holds bytes.
    else if (result !== EINTR) return result === 0 ? EIO : result;
  }
  flow.pipe = undefined;
  flow.pipes.give(calls, pipe);
  return 0;
}

/** A result of SPLICE: the source has ended, or the limit is reached. */
export const SPLICE_DONE = 0;
/** A result of SPLICE: the destination is full, and the pipe holds bytes. */
export const DESTINATION_FULL = 1;

export const SPLICE: Operation<Flow, undefined, number> = operation<Flow, undefined, number>({
  syscall: "splice",
  movesBytes: false,
  attempt: (calls, fd, flow) => {
    const { pipes, to } = flow;
    const stopped = closeRelay(flow);
    if (stopped !== undefined) return stopped;
    // closeRelay() may wake other calls, which may have cancelled this flow.
    if (to.fd < 0 || flow.from.fd < 0 || flow.over === true) return ECANCELED;
    const pipe = pipes.take(calls);
    if (typeof pipe === "number") return pipe;
    // The writes that wait there go first.
    const wait = to.writing.busy;
    const result = wait ? fillPipe(calls, fd, flow, pipe) : passThrough(calls, fd, flow, pipe);
    if (flow.sent < flow.taken) {
      flow.pipe = pipe;
      if (!wait && result !== EAGAIN) return result;
      if (!wait) to.writing.setNotReady();
      return DESTINATION_FULL;
    }
    pipes.give(calls, pipe);
    if (result === EAGAIN) startRelay(calls, fd, flow);
    return result > 0 ? (flow.taken < flow.limit ? progress(0) : SPLICE_DONE) : result;
  },
  complete: (outcome) => outcome,
  transferred: (flow) => flow.sent,
});

/** Fills the pipe from the source, and passes nothing on. */
function fillPipe(calls: Calls, fd: number, flow: Flow, pipe: Pipe): number {
  const result = calls.splice(fd, pipe.writeEnd, Math.min(pipe.capacity, flow.limit - flow.taken));
  if (result > 0) {
    flow.taken += result;
    flow.activity();
  }
  return result;
}

/** The flags of `spliceThrough`; the same bits as SPLICE_* in native/. */
const SMALL = 1;
const SHORT_MEANS_EMPTY = 2;
const SHORT_MEANS_END = 4;

/** Bytes taken, bytes passed on. */
const counts = new Uint32Array(2);
const countBytes = new Uint8Array(counts.buffer);

/**
 * Takes bytes and passes them on until one end is not ready: 1 if it can go on, 0 at the end of the source, or -errno.
 */
function passThrough(calls: Calls, fd: number, flow: Flow, pipe: Pipe): number {
  const budget = Math.min(flow.limit - flow.taken, SPLICE_CHUNK);
  const { readEnd, writeEnd, capacity } = pipe;
  const { shortMeansEmpty, shortMeansEnd } = flow.from.reading;
  const flags =
    (flow.small ? SMALL : 0) | (shortMeansEmpty ? SHORT_MEANS_EMPTY : 0) | (shortMeansEnd ? SHORT_MEANS_END : 0);
  const result = calls.spliceThrough(fd, readEnd, writeEnd, flow.to.fd, capacity, budget, countBytes, flags);
  const count = counts[0]!;
  if (count > 0) {
    flow.small = count < SPLICE_THRESHOLD;
    flow.taken += count;
    flow.sent += counts[1]!;
    flow.activity();
    flow.from.reactor.spendBytes(count);
  }
  return result;
}

/** Moves the bytes of the pipe to the destination. */
export const SPLICE_REST: Operation<Flow, undefined, void> = operation<Flow, undefined, void>({
  syscall: "splice",
  movesBytes: true,
  attempt: (calls, fd, flow) => {
    const before = flow.sent;
    const result = drainPipe(calls, fd, flow);
    if (flow.sent > before) flow.activity();
    return result < 0 ? result : flow.sent - before;
  },
  complete: () => undefined,
  transferred: (flow) => flow.sent,
});
