// Pending reads and writes of a connection that has no descriptor of its own, such as a Duplex.

import type { SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import type { Clock } from "../wait/clock.js";
import { localError, timeoutError } from "../wait/localError.js";
import { PendingCall } from "../wait/pendingCall.js";
import type { TimerRefs } from "../wait/timerRefs.js";
import type { WriteParts } from "./writeParts.js";

/** The connection of a pending call: its clock, its timers and its queue. */
export interface PendingTransferOwner<Call> {
  readonly clock?: Clock;
  readonly refs: TimerRefs;
  /** Removes the call from the queue, because its timeout has passed or its signal was aborted. */
  remove(call: Call): void;
}

/** The object of these calls in `pending()`, because a Duplex or a pair in memory has no description of its own. */
const CONN_OBJECT = { kind: "Conn" };
const READ = { call: "read", object: CONN_OBJECT };
const WRITE = { call: "write", object: CONN_OBJECT };
const CLOSE_WRITE = { call: "closeWrite", object: CONN_OBJECT };

/** A read that waits for bytes. */
export class PendingRead extends PendingCall<number> {
  readonly target: Uint8Array;
  readonly #owner: PendingTransferOwner<PendingRead>;

  constructor(target: Uint8Array, opts: IoOptions | undefined, owner: PendingTransferOwner<PendingRead>) {
    super(opts, owner.clock, owner.refs, READ);
    this.target = target;
    this.#owner = owner;
  }

  protected override cancel(): SocketError {
    this.#owner.remove(this);
    return timeoutError("read");
  }
}

/** A write, or a `closeWrite()` if it has no parts. */
export class PendingWrite extends PendingCall<void> {
  readonly parts: WriteParts | undefined;
  /** Bytes that the layer below has taken. */
  transferred = 0;
  readonly #owner: PendingTransferOwner<PendingWrite>;

  constructor(parts: WriteParts | undefined, opts: IoOptions | undefined, owner: PendingTransferOwner<PendingWrite>) {
    super(opts, owner.clock, owner.refs, parts === undefined ? CLOSE_WRITE : WRITE);
    this.parts = parts;
    this.#owner = owner;
  }

  /** An error with this code. For a write, `transferred` is the number of bytes that were taken. */
  errorWith(code: string): SocketError {
    if (this.parts === undefined) return localError(code, "closeWrite");
    return localError(code, "write", { transferred: this.transferred });
  }

  /** The `ETIMEDOUT` error. For a write, `transferred` is the number of bytes that were taken. */
  timeoutError(): SocketError {
    if (this.parts === undefined) return timeoutError("closeWrite");
    return timeoutError("write", { transferred: this.transferred });
  }

  protected override cancel(): SocketError {
    this.#owner.remove(this);
    return this.timeoutError();
  }
}
