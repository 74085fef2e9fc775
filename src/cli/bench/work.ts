// The turns of a benchmark: the work that each connection repeats, by mode.

import { connect, type ConnectOptions, connectUdp, type Endpoint, SO_LINGER, SocketError, type Stream } from "berkeley";

import type { Mode } from "./modes.js";

/** The settings of all turns. */
export interface WorkPlan {
  readonly endpoint: Endpoint;
  readonly mode: Mode;
  /** The data of each turn. */
  readonly payload: Buffer;
  /** The end of an answer in the mode `request`. */
  readonly until: Buffer;
  /** Milliseconds after which a datagram counts as lost, and a connect fails. */
  readonly timeout: number;
  readonly tls: ConnectOptions["tls"] | undefined;
}

/** The result of one turn: numbers of bytes, and whether a datagram had no answer. */
export interface TurnResult {
  readonly sent: number;
  readonly received: number;
  readonly lost?: boolean;
}

/** Runs the turns of one connection, one after the other. */
export interface TurnRunner {
  runTurn(): Promise<TurnResult>;
  /** Ends the turns: a running turn may fail, and a later turn fails. */
  stop(): void;
  /** Closes the connection. Called when no turn runs. */
  close(): Promise<void>;
}

export async function openTurnRunner(plan: WorkPlan): Promise<TurnRunner> {
  const { endpoint, mode } = plan;
  if (endpoint.scheme === "udp") return datagramTurns(plan);
  if (mode === "connect") return connectTurns(plan);
  const stream = await openStream(plan);
  if (mode === "bulk") return bulkTurns(stream, plan);
  return mode === "echo" ? echoTurns(stream, plan) : requestTurns(stream, plan);
}

async function openStream({ endpoint, timeout, tls }: WorkPlan): Promise<Stream> {
  return connect(endpoint, { timeout, noDelay: true, ...(tls === undefined ? {} : { tls }) });
}

/** Each turn sends the payload, and reads as many bytes. */
function echoTurns(stream: Stream, { payload }: WorkPlan): TurnRunner {
  const answer = Buffer.allocUnsafe(Math.min(payload.length, 256 << 10));
  const { length } = payload;
  return {
    async runTurn() {
      // Usually the kernel takes the whole payload at once, which saves a promise.
      const taken = stream.tryWrite(payload);
      const writingRest = taken === length ? undefined : stream.write(payload.subarray(taken));
      // Awaited below. If the write fails before that `await`, the rejection must not be unhandled.
      writingRest?.catch(() => undefined);
      // A large payload is read while it is written. Otherwise all buffers could be full, and both sides would wait.
      for (let remaining = length; remaining > 0;) {
        const count = await stream.read(remaining < answer.length ? answer.subarray(0, remaining) : answer);
        if (count === 0) throw closedByPeerError();
        remaining -= count;
      }
      if (writingRest !== undefined) await writingRest;
      return { sent: length, received: length };
    },
    stop: () => stream.abort(),
    close: () => stream.close(),
  };
}

/** Each turn sends the payload, and reads an answer up to a delimiter. */
function requestTurns(stream: Stream, { payload, until }: WorkPlan): TurnRunner {
  return {
    async runTurn() {
      await stream.write(payload);
      const answer = await stream.readUntil(until);
      if (answer === null) throw closedByPeerError();
      return { sent: payload.length, received: answer.length };
    },
    stop: () => stream.abort(),
    close: () => stream.close(),
  };
}

/** Each turn sends the payload, and does not wait for an answer. Data from the server is read and counted. */
function bulkTurns(stream: Stream, { payload }: WorkPlan): TurnRunner {
  let received = 0;
  const drain = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafe(256 << 10);
    for (;;) {
      const count = await stream.read(buffer);
      if (count === 0) return;
      received += count;
    }
  };
  // After an error of the connection, the next write rejects too, so runTurn() reports the error.
  drain().catch(() => undefined);
  return {
    async runTurn() {
      await stream.write(payload);
      const turn = { sent: payload.length, received };
      received = 0;
      return turn;
    },
    stop: () => stream.abort(),
    close: () => stream.close(),
  };
}

/** Each turn makes a connection and closes it. */
function connectTurns(plan: WorkPlan): TurnRunner {
  let stopped = false;
  return {
    async runTurn() {
      // The class Load (load.ts) ignores this error, because the run has ended.
      if (stopped) throw closedByPeerError();
      const stream = await openStream(plan);
      // With SO_LINGER 0, closing resets the connection, which leaves no TIME-WAIT. Otherwise all local ports would be
      // in use after some seconds.
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

/** Each turn sends a datagram, and waits for its answer. */
async function datagramTurns({ endpoint, payload, timeout }: WorkPlan): Promise<TurnRunner> {
  const socket = await connectUdp(endpoint);
  // Each datagram begins with a number of 32 bits. So a late answer does not count for a later datagram.
  const request = Buffer.from(payload);
  let number = 0;
  return {
    async runTurn() {
      number = (number + 1) >>> 0;
      request.writeUInt32BE(number, 0);
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

/** The error of a turn whose connection has ended. The errno of an error is negative, and ECONNRESET is 104. */
const closedByPeerError = (): SocketError => new SocketError("ECONNRESET", -104, "read");
