// A few hundred sockets with random calls, compared with a model.
//
// Every connection has an identity, and the bytes of each direction are computed from the identity and their position.
// So the test notices a lost, repeated, misplaced or foreign byte at once, and also an end, an error or an abort at the
// wrong socket.

import assert from "node:assert/strict";
import { AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM, Socket, socketpair } from "berkeley";
import { pick, type Random } from "../support/random.js";

/** Maximum number of bytes of one send. */
const MAX_SEND = 96;
/** Maximum number of calls that wait on one end. */
const MAX_CALLS = 6;

/** The byte at `offset` of the stream `stream`. */
function byteAt(stream: number, offset: number): number {
  const mixed = Math.imul(stream ^ 0x9e3779b9, 0x85ebca6b) + Math.imul(offset, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 15)) & 0xff;
}

class Reason {
  readonly step: number;
  constructor(step: number) {
    this.step = step;
  }
}

interface Call {
  readonly controller: AbortController;
  aborted: Reason | undefined;
}

/** One end of a connection. */
class End {
  socket: Socket;
  peer!: End;
  /** The number of the byte stream that this end sends. */
  readonly stream: number;
  readonly messages: boolean;
  sent = 0;
  received = 0;
  closed = false;
  /** Whether shutdown(SHUT_WR) or close() was called, so that the peer may read the end. */
  finished = false;
  sending = false;
  readonly calls = new Set<Call>();

  constructor(socket: Socket, stream: number, messages: boolean) {
    this.socket = socket;
    this.stream = stream;
    this.messages = messages;
  }
}

export interface Counts {
  opened: number;
  closed: number;
  received: number;
  sent: number;
  aborted: number;
  timedOut: number;
  canceled: number;
  ends: number;
  resets: number;
  reused: number;
}

export class RandomSteps {
  readonly counts: Counts = {
    opened: 0,
    closed: 0,
    received: 0,
    sent: 0,
    aborted: 0,
    timedOut: 0,
    canceled: 0,
    ends: 0,
    resets: 0,
    reused: 0,
  };
  readonly #random: Random;
  readonly #size: number;
  readonly #ends: End[] = [];
  readonly #listener = new Socket();
  /**
   * By the port of who connects: those that have connected and are not accepted yet, and those that were accepted
   * first.
   */
  readonly #accepted = new Map<number, (conn: Socket) => void>();
  readonly #unclaimed = new Map<number, Socket>();
  #accepting: Promise<void> | undefined;
  #opening = 0;
  #nextStream = 0;
  #step = 0;
  /** The first error. */
  #wrong: Error | undefined;

  constructor(random: Random, connections: number) {
    this.#random = random;
    this.#size = 2 * connections;
  }

  async run(steps: number): Promise<void> {
    // An address that only this process uses, because other tests connect to ports of 127.0.0.1 that must be unused.
    await this.#listener.bind([`127.77.${(process.pid >> 8) & 255}.${process.pid & 255 || 1}`, 0]);
    this.#listener.listen(4096);
    this.#accepting = this.#accept();
    while (this.#step < steps) {
      this.#step++;
      this.#makeStep();
      if (this.#wrong !== undefined) throw this.#wrong;
      // Continuations run between some of the steps, and the event loop turns sometimes.
      if (this.#random(4) === 0) await Promise.resolve();
      if (this.#random(40) === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await this.#finish();
    if (this.#wrong !== undefined) throw this.#wrong;
  }

  /** Makes one random step. */
  #makeStep(): void {
    if (this.#ends.length + 2 * this.#opening < this.#size && this.#random(3) === 0) return this.#open();
    if (this.#ends.length === 0) return;
    const end = pick(this.#random, this.#ends);
    const kind = this.#random(1000);
    if (kind < 430) this.#receive(end);
    else if (kind < 780) this.#send(end);
    else if (kind < 850) this.#abort(end);
    else if (kind < 900) this.#ready(end);
    else if (kind < 960) this.#replace(end);
    else if (kind < 970) this.#shut(end);
    else this.#close(end);
  }

  #fail(error: unknown): void {
    this.#wrong ??= error instanceof Error ? error : new Error(String(error));
  }

  #pair(left: Socket, right: Socket, messages: boolean): void {
    const [a, b] = [this.#nextStream++, this.#nextStream++].map(
      (stream, side) => new End(side === 0 ? left : right, stream, messages),
    ) as [End, End];
    a.peer = b;
    b.peer = a;
    this.#ends.push(a, b);
    this.counts.opened += 2;
  }

  #open(): void {
    const kind = this.#random(8);
    if (kind === 0) this.#connect();
    else this.#pair(...socketpair(AF_UNIX, kind < 3 ? SOCK_SEQPACKET : SOCK_STREAM), kind < 3);
  }

  #connect(): void {
    this.#opening++;
    const client = new Socket();
    // The port is known once it is connected, which may be after it was accepted: a call waits for its turn in the
    // budget.
    const accepted = client.connect(this.#listener.getsockname()).then(() => {
      const { port } = client.getsockname();
      const conn = this.#unclaimed.get(port);
      if (conn === undefined) return new Promise<Socket>((resolve) => this.#accepted.set(port, resolve));
      this.#unclaimed.delete(port);
      return conn;
    });
    accepted.then(
      (conn) => {
        this.#opening--;
        this.#pair(client, conn, false);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  async #accept(): Promise<void> {
    for await (const [conn, peer] of this.#listener) {
      const { port } = peer;
      const claimed = this.#accepted.get(port);
      this.#accepted.delete(port);
      if (claimed !== undefined) claimed(conn);
      else if (this.#unclaimed.has(port)) this.#fail(new Error(`two connections from port ${port}, one was made`));
      else this.#unclaimed.set(port, conn);
    }
  }

  /** Starts a call on an end, and checks its result. */
  #call<T>(
    end: End,
    timeout: number | undefined,
    start: (opts: object) => Promise<T>,
    good: (value: T) => void,
    bad?: (error: unknown) => void,
  ): void {
    const call: Call = { controller: new AbortController(), aborted: undefined };
    const { socket } = end;
    end.calls.add(call);
    const opts =
      timeout === undefined ? { signal: call.controller.signal } : { signal: call.controller.signal, timeout };
    start(opts).then(
      (value) => {
        end.calls.delete(call);
        try {
          good(value);
        } catch (error) {
          this.#fail(error);
        }
      },
      (error: unknown) => {
        end.calls.delete(call);
        try {
          bad?.(error);
          this.#explain(end, socket, call, timeout, error);
        } catch (wrong) {
          this.#fail(wrong);
        }
      },
    );
  }

  /** Checks that the model has a cause for the error of a call. */
  #explain(end: End, socket: Socket, call: Call, timeout: number | undefined, error: unknown): void {
    if (error instanceof Reason) {
      assert.equal(error, call.aborted, "the reason of another call");
      this.counts.aborted++;
      return;
    }
    const { code } = error as { code: string };
    if (code === "ETIMEDOUT") {
      assert.notEqual(timeout, undefined, "no timeout was given");
      this.counts.timedOut++;
    } else if (code === "ECANCELED") {
      assert.ok(socket.closed, "the socket is open");
      this.counts.canceled++;
    } else if (code === "EPIPE") {
      assert.ok(end.peer.closed || end.finished, "the peer is open");
      this.counts.resets++;
    } else if (code === "ECONNRESET") {
      assert.ok(end.peer.closed, "the peer is open");
      this.counts.resets++;
    } else {
      throw error;
    }
  }

  #timeout(): number | undefined {
    return this.#random(30) === 0 ? this.#random(4) : undefined;
  }

  #receive(end: End): void {
    if (end.calls.size >= MAX_CALLS) return;
    // The buffer holds a whole message, because the rest of a truncated message would be lost.
    const size = end.messages ? MAX_SEND : 1 + this.#random(2 * MAX_SEND);
    const check = (data: Uint8Array): void => this.#check(end, data);
    const timeout = this.#timeout();
    const { socket } = end;
    if (this.#random(2) === 0) this.#call(end, timeout, (opts) => socket.recv(size, opts), check);
    else {
      const buffer = Buffer.alloc(size);
      this.#call(
        end,
        timeout,
        (opts) => socket.recvInto(buffer, opts),
        (count) => check(buffer.subarray(0, count)),
      );
    }
  }

  #check(end: End, data: Uint8Array): void {
    const { peer } = end;
    if (data.length === 0) {
      assert.ok(peer.finished, "an end, and the peer has not finished");
      this.counts.ends++;
      return;
    }
    for (const byte of data) {
      assert.equal(byte, byteAt(peer.stream, end.received), `byte ${end.received} of stream ${peer.stream}`);
      end.received++;
    }
    assert.ok(end.received <= peer.sent + MAX_SEND, "more than was sent");
    this.counts.received += data.length;
  }

  #send(end: End): void {
    if (end.sending || end.finished) return;
    const data = Buffer.alloc(1 + this.#random(MAX_SEND));
    for (let at = 0; at < data.length; at++) data[at] = byteAt(end.stream, end.sent + at);
    end.sending = true;
    const went = (count: number): void => {
      end.sending = false;
      end.sent += count;
      this.counts.sent += count;
    };
    const cut = (error: unknown): void => went((error as { transferred?: number }).transferred ?? 0);
    const { socket } = end;
    const timeout = this.#timeout();
    const way = this.#random(4);
    if (way < 2) this.#call(end, timeout, (opts) => socket.send(data, opts), went, cut);
    else if (way === 2)
      this.#call(
        end,
        timeout,
        (opts) => socket.sendAll(data, opts),
        () => went(data.length),
        cut,
      );
    else {
      const half = data.length >> 1;
      const parts = [data.subarray(0, half), data.subarray(half)];
      this.#call(
        end,
        timeout,
        (opts) => socket.sendAll(parts, opts),
        () => went(data.length),
        cut,
      );
    }
  }

  #ready(end: End): void {
    if (end.calls.size >= MAX_CALLS) return;
    const { socket } = end;
    const none = (): void => {};
    if (this.#random(2) === 0) this.#call(end, this.#timeout(), (opts) => socket.readable(opts), none);
    else this.#call(end, this.#timeout(), (opts) => socket.writable(opts), none);
  }

  #abort(end: End): void {
    for (const call of end.calls) {
      if (this.#random(2) === 0 || call.aborted !== undefined) continue;
      call.aborted = new Reason(this.#step);
      call.controller.abort(call.aborted);
      return;
    }
  }

  /** Gives an end another descriptor, or another Socket. */
  #replace(end: End): void {
    // The model could not know at which byte a running send is interrupted.
    if (end.sending) return;
    const { socket } = end;
    if (this.#random(2) === 0) {
      end.socket = socket.dup();
      socket.close();
    } else end.socket = Socket.fromfd(socket.detach());
    this.counts.reused++;
  }

  #shut(end: End): void {
    if (end.finished || end.sending || end.messages) return;
    end.finished = true;
    try {
      end.socket.shutdown(1);
    } catch (error) {
      // The peer has reset the connection.
      assert.equal((error as { code: string }).code, "ENOTCONN");
      assert.ok(end.peer.closed);
    }
  }

  #close(end: End): void {
    end.closed = end.finished = true;
    end.socket.close();
    if (this.#random(4) === 0) end.socket.close();
    this.#ends[this.#ends.indexOf(end)] = this.#ends.at(-1)!;
    this.#ends.pop();
    this.counts.closed++;
  }

  /** Aborts the waiting calls, receives the remaining bytes, and closes all sockets. */
  async #finish(): Promise<void> {
    while (this.#opening > 0 && this.#wrong === undefined) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([...this.#unclaimed.keys()], [], "a connection that nobody made was accepted");
    for (const end of this.#ends) {
      for (const call of end.calls) {
        call.aborted ??= new Reason(this.#step);
        call.controller.abort(call.aborted);
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
    for (const end of this.#ends) assert.equal(end.calls.size, 0, "a call did not settle when it was aborted");
    for (const end of this.#ends) {
      if (end.peer.closed) continue;
      while (end.received < end.peer.sent) this.#check(end, await end.socket.recv(MAX_SEND, { timeout: 5000 }));
      assert.equal(end.received, end.peer.sent);
    }
    for (const end of this.#ends.splice(0)) end.socket.close();
    this.#listener.close();
    await this.#accepting;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
