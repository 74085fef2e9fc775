// splice: bytes from socket to socket through a pipe, inside the kernel.
//
// Splicing from socket to socket takes a pipe in between, and EAGAIN is ambiguous there: the source has nothing, or the pipe
// is full, which it may be with few bytes in it, as each fragment of a packet takes one of its places. So a pipe is filled
// only when it is empty: EAGAIN then means that the source has nothing. What came is moved on until the pipe is empty
// again: EAGAIN then means that the destination takes nothing. A flow that waits for its source therefore has no byte in
// a pipe, and needs none: pipes are handed from flow to flow, and only those that wait for their destination keep one.
//
// A flow waits for its source as an operation of the source's reading direction, and does there what it can on the
// destination too, without a promise and for a whole turn in one native call. It waits for its destination as an operation of the
// destination's writing direction. Others who write there are before it or after it, never in between.
//
// While it waits for its source the poller does the same in C for as long as nothing but bytes comes: see relay.ts.

import { moved, type Operation, operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import { EAGAIN, ECANCELED, EINTR, EIO } from "../sys/errno.js";
import type { Note, Pipe } from "../reactor/relay.js";
import type { PipePool } from "./pipes.js";

/** Bytes after which a flow lets others have their turn. */
const SPLICE_CHUNK = 1 << 20;

/** A flow of which at least so many bytes came at a time is expected to go on like that; the same number as in native/addon.h. */
const MANY = 16 << 10;

/** One of the two descriptors that a flow is between, and the queue of those who wait to write there. */
export interface FlowEnd {
  readonly fd: number;
  readonly reading: { readonly shortMeansEmpty: boolean; readonly shortMeansEnd: boolean };
  readonly writing: { readonly busy: boolean; exhausted(): void; wake(): void };
  /** Who counts bytes against the budget of a turn. */
  readonly reactor: { spendBytes(count: number): void };
  /** The note for the poller of which this is the source, or the destination. */
  outflow?: Note | undefined;
  inflow?: Note | undefined;
  /** A note of which this is to be the source, if it can have one. */
  makeNote?(): Note | undefined;
}

/** Bytes on their way from one socket to another. */
export interface Flow<E extends FlowEnd = FlowEnd> {
  readonly from: E;
  readonly to: E;
  readonly pipes: PipePool;
  /** Bytes to take from the source at most. */
  readonly limit: number;
  /** The pipe, while there are bytes in it. */
  pipe: Pipe | undefined;
  /** Bytes taken from the source. */
  taken: number;
  /** Bytes that the destination has taken. The rest is in the pipe. */
  sent: number;
  /** Bytes have moved: at a time of `performance.now()`, now if not given. */
  activity(at?: number): void;
  /** Few bytes came the last time, and so few are expected: they are copied, which costs less than to splice them. */
  small: boolean;
  /** How the poller carries it on. */
  note?: Note | undefined;
  /** It was ended. */
  readonly over?: boolean;
}

/** Has the poller carry the flow on, which has nothing in a pipe and waits for its source. */
function noteDown(calls: Calls, fd: number, flow: Flow): void {
  const { from, pipes, to } = flow;
  // A limit would have to be looked at for each event.
  if (flow.limit !== Infinity || to.writing.busy) return;
  const note = flow.note ?? from.makeNote?.();
  if (note === undefined || (from.outflow ?? note) !== note || (to.inflow ?? note) !== note) return;
  const place = pipes.lend(calls, note.table);
  if (place < 0) return;
  // Kept only together with the ends that know of it: a note names a slot, which must stay theirs.
  flow.note = from.outflow = to.inflow = note;
  note.open(fd, to.fd, place, flow.small, from.writing.busy, from.reading.shortMeansEmpty);
}

/**
 * Adds to the flow what the poller has done for it, and has it do no more. Returns what has stopped it: HELD or -errno; undefined
 * if it only waited.
 */
export function gather(flow: Flow): number | undefined {
  const { note } = flow;
  if (note === undefined) return undefined;
  const last = note.lastActive();
  if (!note.close()) return undefined;
  if (last !== undefined) flow.activity(last);
  flow.small = note.small;
  flow.sent += note.passed;
  flow.taken += note.passed + note.held;
  if (note.held > 0) flow.pipe = flow.pipes.takeLent();
  if (note.missedOut) flow.from.writing.wake();
  // The destination is not told that it is exhausted: EAGAIN is some time ago, and the event for room may have come since.
  if (note.held > 0 && note.result === EAGAIN) return HELD;
  return note.result < 0 && note.result !== EAGAIN ? note.result : undefined;
}

/** The flow is over: its ends have no note any more. */
export function endNote(flow: Flow): void {
  const { from, note, to } = flow;
  if (note === undefined) return;
  gather(flow);
  if (from.outflow === note) from.outflow = undefined;
  if (to.inflow === note) to.inflow = undefined;
}

/** Moves on what is in the pipe; 0 when it is empty. */
function empty(calls: Calls, to: number, flow: Flow): number {
  const pipe = flow.pipe!;
  while (flow.sent < flow.taken) {
    const result = calls.splice(pipe.readEnd, to, flow.taken - flow.sent);
    if (result > 0) flow.sent += result;
    // A pipe that holds bytes does not end.
    else if (result !== EINTR) return result === 0 ? EIO : result;
  }
  flow.pipe = undefined;
  flow.pipes.give(calls, pipe);
  return 0;
}

/** How a SPLICE came to its end: the source has ended or the limit is reached, or the destination is to be waited for. */
export const ENDED = 0;
export const HELD = 1;

export const SPLICE: Operation<Flow, undefined, number> = operation<Flow, undefined, number>({
  syscall: "splice",
  movesBytes: false,
  attempt: (calls, fd, flow) => {
    const { pipes, to } = flow;
    const stopped = gather(flow);
    if (stopped !== undefined) return stopped;
    // To gather may have others go on, who may have ended this.
    if (to.fd < 0 || flow.from.fd < 0 || flow.over === true) return ECANCELED;
    const pipe = pipes.take(calls);
    if (typeof pipe === "number") return pipe;
    // Those who wait to write there are first.
    const wait = to.writing.busy;
    const result = wait ? fill(calls, fd, flow, pipe) : pass(calls, fd, flow, pipe);
    if (flow.sent < flow.taken) {
      flow.pipe = pipe;
      if (!wait && result !== EAGAIN) return result;
      if (!wait) to.writing.exhausted();
      return HELD;
    }
    pipes.give(calls, pipe);
    if (result === EAGAIN) noteDown(calls, fd, flow);
    return result > 0 ? (flow.taken < flow.limit ? moved(0) : ENDED) : result;
  },
  complete: (outcome) => outcome,
  transferred: (flow) => flow.sent,
});

/** Takes from the source what the pipe holds, and passes nothing on. */
function fill(calls: Calls, fd: number, flow: Flow, pipe: Pipe): number {
  const result = calls.splice(fd, pipe.writeEnd, Math.min(pipe.capacity, flow.limit - flow.taken));
  if (result > 0) {
    flow.taken += result;
    flow.activity();
  }
  return result;
}

/** How `spliceThrough` is to go about it; the same bits as in native/addon.h. */
const FEW = 1;
const SHORT_MEANS_EMPTY = 2;
const SHORT_MEANS_END = 4;

/** 32-bit numbers: bytes taken, bytes passed on. */
const progress = new Uint32Array(2);
const progressBytes = new Uint8Array(progress.buffer);

/** Takes and passes on for as long as it goes: 1 when it may go on, 0 at the end of the source, or -errno. */
function pass(calls: Calls, fd: number, flow: Flow, pipe: Pipe): number {
  const budget = Math.min(flow.limit - flow.taken, SPLICE_CHUNK);
  const { readEnd, writeEnd, capacity } = pipe;
  const { shortMeansEmpty, shortMeansEnd } = flow.from.reading;
  const how =
    (flow.small ? FEW : 0) | (shortMeansEmpty ? SHORT_MEANS_EMPTY : 0) | (shortMeansEnd ? SHORT_MEANS_END : 0);
  const result = calls.spliceThrough(fd, readEnd, writeEnd, flow.to.fd, capacity, budget, progressBytes, how);
  const count = progress[0]!;
  if (count > 0) {
    flow.small = count < MANY;
    flow.taken += count;
    flow.sent += progress[1]!;
    flow.activity();
    flow.from.reactor.spendBytes(count);
  }
  return result;
}

/** Moves on what is in the pipe. */
export const SPLICE_REST: Operation<Flow, undefined, void> = operation<Flow, undefined, void>({
  syscall: "splice",
  movesBytes: true,
  attempt: (calls, fd, flow) => {
    const before = flow.sent;
    const result = empty(calls, fd, flow);
    if (flow.sent > before) flow.activity();
    return result < 0 ? result : flow.sent - before;
  },
  complete: () => undefined,
  transferred: (flow) => flow.sent,
});
