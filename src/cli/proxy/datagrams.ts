// A proxy of datagrams. Each client has a socket of its own to the target. So the socket that receives an answer shows
// the client.

import { type HostAddress, bindUdp, connectUdp, type UdpSocket } from "berkeley";
import type { UdpFlow } from "berkeley/pcapng";

import { announce } from "../servers/serve.js";
import { withUsageErrors } from "../talk/open.js";
import type { Flow, ProxyPlan } from "./plan.js";
import { sleepUntil } from "./shape.js";

/** Default of --idle: milliseconds without data after which the socket of a client is closed. */
const DEFAULT_IDLE = 60_000;
/** Maximum number of delayed datagrams of one direction. Further datagrams are dropped. */
const MAX_DELAYED = 1000;

export async function proxyDatagrams(plan: ProxyPlan): Promise<void> {
  const { from, output, signal, draining, flowCounts, max, count } = plan;
  const socket = await withUsageErrors(() => bindUdp(from, { signal }));
  announce(output, "udp", socket.address);
  draining.addEventListener("abort", () => void socket.close(), { once: true });
  const random = randomNumbers(plan.seed);
  const clients = new Map<string, ClientFlow>();
  try {
    for (;;) {
      const { data, address } = await socket.receive();
      const name = String(address);
      let client = clients.get(name);
      if (client === undefined) {
        // Datagrams of clients above the limit are dropped.
        if (clients.size >= max || flowCounts.flows === count) continue;
        client = new ClientFlow(plan, socket, address, random, () => {
          clients.delete(name);
          if (flowCounts.flows === count && clients.size === 0) void socket.close();
        });
        clients.set(name, client);
      }
      client.sendToTarget(data);
    }
  } catch (error) {
    const isClosed =
      (error as { code?: unknown }).code === "ECANCELED" || (error as { code?: unknown }).code === "EBADF";
    if (!signal.aborted && !isClosed) throw error;
  } finally {
    for (const client of clients.values()) client.end();
    await Promise.all([...clients.values()].map((client) => client.whenEnded));
    await socket.close();
  }
}

/** The datagrams of one client. */
class ClientFlow {
  readonly whenEnded: Promise<void>;
  readonly #plan: ProxyPlan;
  readonly #socket: UdpSocket;
  readonly #address: HostAddress;
  readonly #random: () => number;
  readonly #flow: Flow;
  readonly #capturedFlow: UdpFlow | undefined;
  readonly #ending = new AbortController();
  readonly #idleTimer: NodeJS.Timeout;
  readonly #toTarget: DatagramDelay;
  readonly #toClient: DatagramDelay;
  readonly #target: Promise<UdpSocket>;

  constructor(plan: ProxyPlan, socket: UdpSocket, address: HostAddress, random: () => number, onEnd: () => void) {
    this.#plan = plan;
    this.#socket = socket;
    this.#address = address;
    this.#random = random;
    this.#flow = plan.flowCounts.begin(String(address));
    this.#capturedFlow = plan.recorder?.udp(address, socket.address);
    this.#idleTimer = setTimeout(() => this.end(), plan.idle ?? DEFAULT_IDLE);
    const { signal } = this.#ending;
    this.#toTarget = new DatagramDelay(plan, signal);
    this.#toClient = new DatagramDelay(plan, signal);
    this.#target = connectUdp(plan.to, { signal, timeout: plan.timeout });
    this.whenEnded = this.#run().then((error) => {
      clearTimeout(this.#idleTimer);
      plan.flowCounts.end(this.#flow, error);
      onEnd();
    });
  }

  end(): void {
    this.#ending.abort(new Error("the flow has ended"));
  }

  /** Sends a datagram of the client to the target. */
  sendToTarget(data: Buffer): void {
    this.#idleTimer.refresh();
    this.#capturedFlow?.datagram("client", data);
    if (this.#isDropped()) return;
    const isQueued = this.#toTarget.send(async () => {
      await (await this.#target).send(data);
      this.#flow.toTarget += data.length;
    }, data.length);
    if (!isQueued) this.#flow.dropped++;
  }

  /** Forwards answers to the client. Resolves with the error that has ended the flow; undefined after end(). */
  async #run(): Promise<unknown> {
    let target: UdpSocket | undefined;
    try {
      target = await this.#target;
      for (;;) {
        const { data } = await target.receive({ signal: this.#ending.signal });
        this.#idleTimer.refresh();
        this.#capturedFlow?.datagram("server", data);
        if (this.#isDropped()) continue;
        const isQueued = this.#toClient.send(async () => {
          await this.#socket.send(data, this.#address);
          this.#flow.toClient += data.length;
        }, data.length);
        if (!isQueued) this.#flow.dropped++;
      }
    } catch (error) {
      return this.#ending.signal.aborted ? undefined : error;
    } finally {
      this.end();
      await target?.close();
    }
  }

  /** Decides by --drop whether a datagram is dropped, and counts a dropped one. */
  #isDropped(): boolean {
    const { drop } = this.#plan;
    if (drop === 0 || this.#random() >= drop) return false;
    this.#flow.dropped++;
    return true;
  }
}

/** Delays the datagrams of one direction by latency and rate, in order. */
class DatagramDelay {
  readonly #latency: number;
  readonly #rate: number | undefined;
  readonly #signal: AbortSignal;
  /** With a rate, the time from which the next datagram may be sent. */
  #freeAt = 0;
  #delayedCount = 0;
  /** Resolves when all delayed datagrams were sent. */
  #allSent: Promise<unknown> = Promise.resolve();

  constructor({ latency, rate }: ProxyPlan, signal: AbortSignal) {
    this.#latency = latency;
    this.#rate = rate;
    this.#signal = signal;
  }

  /** Calls `work` after the delay. Returns false if MAX_DELAYED datagrams wait already. */
  send(work: () => Promise<void>, size: number): boolean {
    if (this.#delayedCount >= MAX_DELAYED) return false;
    this.#delayedCount++;
    const now = performance.now();
    if (this.#rate !== undefined) this.#freeAt = Math.max(this.#freeAt, now) + (size * 1000) / this.#rate;
    const due = Math.max(now, this.#rate === undefined ? 0 : this.#freeAt) + this.#latency;
    this.#allSent = this.#allSent
      .then(() => sleepUntil(due, this.#signal))
      .then(work)
      // A datagram that can't be sent is lost, and not counted as dropped.
      .catch(() => undefined)
      .finally(() => this.#delayedCount--);
    return true;
  }
}

/** Returns a generator of numbers from 0 to 1 that depend only on the seed (xorshift32). */
function randomNumbers(seed: number): () => number {
  // From 0, xorshift yields only zeros.
  let state = (seed | 0) === 0 ? 1 : seed | 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
