// The turn of each mode: the work that a connection of a benchmark repeats.

import { connect, type ConnectOptions, connectUdp, type Endpoint, SO_LINGER, SocketError, type Stream } from "berkeley";

import type { Mode } from "./modes.js";

export interface WorkPlan {
  readonly endpoint: Endpoint;
  readonly mode: Mode;
  /** The data of each turn. */
  readonly payload: Buffer;
  /** The delimiter of an answer in the mode `request`. */
  readonly until: Buffer;
  /** Milliseconds after which a datagram counts as lost, and a connect fails. */
  readonly timeout: number;
  readonly tls: ConnectOptions["tls"] | undefined;
}

/** The result of one turn. `lost`: the datagram had no answer. */
export interface Turn {
  readonly sent: number;
  readonly received: number;
  readonly lost?: boolean;
}

export interface Worker {
  turn(): Promise<Turn>;
  /** Ends a turn that waits. */
  stop(): void;
  /** Closes the connection when no turn waits. */
  close(): Promise<void>;
}

export async function openWorker(plan: WorkPlan): Promise<Worker> {
  const { endpoint, mode } = plan;
  if (endpoint.scheme === "udp") return openDatagrams(plan);
  if (mode === "connect") return connecting(plan);
  const stream = await openStream(plan);
  if (mode === "bulk") return bulk(stream, plan);
  return mode === "echo" ? echo(stream, plan) : requests(stream, plan);
}

async function openStream({ endpoint, timeout, tls }: WorkPlan): Promise<Stream> {
  return connect(endpoint, { timeout, noDelay: true, ...(tls === undefined ? {} : { tls }) });
}

function echo(stream: Stream, { payload }: WorkPlan): Worker {
  const answer = Buffer.allocUnsafe(Math.min(payload.length, 256 << 10));
  const { length } = payload;
  return {
    async turn() {
      // Usually the kernel takes the whole payload at once, which saves a promise.
      const taken = stream.tryWrite(payload);
      const rest = taken === length ? undefined : stream.write(payload.subarray(taken));
      // A large message is read while it is written. Otherwise both sides would wait for a full buffer.
      rest?.catch(() => undefined);
      for (let left = length; left > 0;) {
        const count = await stream.read(left < answer.length ? answer.subarray(0, left) : answer);
        if (count === 0) throw closedByPeer();
        left -= count;
      }
      if (rest !== undefined) await rest;
      return { sent: length, received: length };
    },
    stop: () => stream.abort(),
    close: () => stream.close(),
  };
}

function requests(stream: Stream, { payload, until }: WorkPlan): Worker {
  return {
    async turn() {
      await stream.write(payload);
      const answer = await stream.readUntil(until);
      if (answer === null) throw closedByPeer();
      return { sent: payload.length, received: answer.length };
    },
    stop: () => stream.abort(),
    close: () => stream.close(),
  };
}

function bulk(stream: Stream, { payload }: WorkPlan): Worker {
  let received = 0;
  const drain = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafe(256 << 10);
    for (;;) {
      const count = await stream.read(buffer);
      if (count === 0) return;
      received += count;
    }
  };
  // The write reports the error of the connection.
  drain().catch(() => undefined);
  return {
    async turn() {
      await stream.write(payload);
      const turn = { sent: payload.length, received };
      received = 0;
      return turn;
    },
    stop: () => stream.abort(),
    close: () => stream.close(),
  };
}

function connecting(plan: WorkPlan): Worker {
  let stopped = false;
  return {
    async turn() {
      if (stopped) throw closedByPeer();
      const stream = await openStream(plan);
      // A reset leaves no TIME-WAIT. Otherwise all local ports would be in use after some seconds.
      if (plan.endpoint.scheme !== "unix") stream.settings()?.setsockopt(SO_LINGER, 0);
      await stream.close();
      return { sent: 0, received: 0 };
    },
    stop: () => {
      stopped = true;
    },
    close: () => Promise.resolve(),
  };
}

async function openDatagrams({ endpoint, payload, timeout }: WorkPlan): Promise<Worker> {
  const socket = await connectUdp(endpoint);
  // Each datagram has a number, so a late answer is not taken for that of the next.
  const request = Buffer.from(payload);
  let number = 0;
  return {
    async turn() {
      request.writeUInt32BE((number = (number + 1) >>> 0), 0);
      await socket.send(request);
      const deadline = performance.now() + timeout;
      for (;;) {
        try {
          const { data } = await socket.receive({ timeout: Math.max(0, deadline - performance.now()) });
          if (data.length >= 4 && data.readUInt32BE(0) === number)
            return { sent: request.length, received: data.length };
        } catch (error) {
          if (!(error instanceof SocketError && error.code === "ETIMEDOUT")) throw error;
          return { sent: request.length, received: 0, lost: true };
        }
      }
    },
    stop: () => void socket.close(),
    close: () => socket.close(),
  };
}

const closedByPeer = (): SocketError => new SocketError("ECONNRESET", -104, "read");
