// A proxy of datagrams. All clients send to one socket. For each client, the proxy opens a socket of its own to the
// target. So the socket that receives an answer shows the client to which the answer belongs.

import { type HostAddress, bindUdp, connectUdp, type UdpSocket } from "berkeley";
import type { UdpFlow } from "berkeley/pcapng";

import { announce } from "../servers/serve.js";
import { withUsageErrors } from "../talk/open.js";
import type { Flow, ProxyPlan } from "./plan.js";
import { sleepUntil } from "./shape.js";

/** Default of --idle: milliseconds without data after which the socket of a client is closed. */
const DEFAULT_IDLE = 60_000;
/** Maximum number of delayed datagrams of one client in one direction. Further datagrams are dropped. */
const MAX_DELAYED_DATAGRAMS = 1000;

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
        // Datagrams of a new client are dropped above --max, and after --count clients.
        if (clients.size >= max || flowCounts.begun === count) continue;
        client = new ClientFlow(plan, socket, address, random, () => {
          clients.delete(name);
          if (flowCounts.begun === count && clients.size === 0) void socket.close();
        });
        clients.set(name, client);
      }
      client.sendToTarget(data);
    }
  } catch (error) {
    const { code } = error as { code?: unknown };
    const isSocketClosed = code === "ECANCELED" || code === "EBADF";
    if (!signal.aborted && !isSocketClosed) throw error;
  } finally {
    for (const client of clients.values()) client.end();
    await Promise.all([...clients.values()].map((client) => client.whenEnded));
    await socket.close();
  }
}

/** Forwards the datagrams of one client in both directions. */
class ClientFlow {
  readonly whenEnded: Promise<void>;
  readonly #plan: ProxyPlan;
  /** The socket to which all clients send. */
  readonly #clientsSocket: UdpSocket;
  readonly #clientAddress: HostAddress;
  readonly #random: () => number;
  readonly #flow: Flow;
  readonly #capturedFlow: UdpFlow | undefined;
  readonly #ending = new AbortController();
  readonly #idleTimer: NodeJS.Timeout;
  readonly #toTarget: DelayedSender;
  readonly #toClient: DelayedSender;
  readonly #targetSocket: Promise<UdpSocket>;

  constructor(plan: ProxyPlan, socket: UdpSocket, address: HostAddress, random: () => number, onEnd: () => void) {
    this.#plan = plan;
    this.#clientsSocket = socket;
    this.#clientAddress = address;
    this.#random = random;
    this.#flow = plan.flowCounts.begin(String(address));
    this.#capturedFlow = plan.recorder?.startUdp(address, socket.address);
    this.#idleTimer = setTimeout(() => this.end(), plan.idle ?? DEFAULT_IDLE);
    const { signal } = this.#ending;
    this.#toTarget = new DelayedSender(plan, signal);
    this.#toClient = new DelayedSender(plan, signal);
    this.#targetSocket = connectUdp(plan.to, { signal, timeout: plan.timeout });
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
    if (this.#decideDrop()) return;
    const isQueued = this.#toTarget.queue(data.length, async () => {
      await (await this.#targetSocket).send(data);
      this.#flow.toTarget += data.length;
    });
    if (!isQueued) this.#flow.dropped++;
  }

  /** Forwards answers to the client. Resolves when the flow has ended: with its error, or undefined after end(). */
  async #run(): Promise<unknown> {
    let target: UdpSocket | undefined;
    try {
      target = await this.#targetSocket;
      for (;;) {
        const { data } = await target.receive({ signal: this.#ending.signal });
        this.#idleTimer.refresh();
        this.#capturedFlow?.datagram("server", data);
        if (this.#decideDrop()) continue;
        const isQueued = this.#toClient.queue(data.length, async () => {
          await this.#clientsSocket.send(data, this.#clientAddress);
          this.#flow.toClient += data.length;
        });
        if (!isQueued) this.#flow.dropped++;
      }
    } catch (error) {
      return this.#ending.signal.aborted ? undefined : error;
    } finally {
      this.end();
      await target?.close();
    }
  }

  /** Decides by --drop whether the next datagram is dropped, and counts a dropped one. */
  #decideDrop(): boolean {
    const { drop } = this.#plan;
    if (drop === 0 || this.#random() >= drop) return false;
    this.#flow.dropped++;
    return true;
  }
}

/** Sends the datagrams of one direction in order, delayed by --latency and --rate. */
class DelayedSender {
  readonly #latency: number;
  readonly #rate: number | undefined;
  readonly #signal: AbortSignal;
  /** With --rate, the time at which the last queued datagram has passed at this rate, without the latency. */
  #passedAt = 0;
  #delayedCount = 0;
  /** Resolves when all delayed datagrams were sent. */
  #allSent: Promise<unknown> = Promise.resolve();

  constructor({ latency, rate }: ProxyPlan, signal: AbortSignal) {
    this.#latency = latency;
    this.#rate = rate;
    this.#signal = signal;
  }

  /** Calls `send` after the delay of a datagram of this size. Returns false if too many datagrams wait already. */
  queue(size: number, send: () => Promise<void>): boolean {
    if (this.#delayedCount >= MAX_DELAYED_DATAGRAMS) return false;
    this.#delayedCount++;
    const now = performance.now();
    if (this.#rate !== undefined) this.#passedAt = Math.max(this.#passedAt, now) + (size * 1000) / this.#rate;
    const due = Math.max(now, this.#passedAt) + this.#latency;
    this.#allSent = this.#allSent
      .then(() => sleepUntil(due, this.#signal))
      .then(send)
      // A datagram that can't be sent is lost, and not counted as dropped.
      .catch(() => undefined)
      .finally(() => this.#delayedCount--);
    return true;
  }
}

/** Returns a generator of pseudorandom numbers from 0 to less than 1 (xorshift32). The seed determines the numbers. */
function randomNumbers(seed: number): () => number {
  // An integer of 32 bits. With 0, all results would be 0.
  let state = seed | 0;
  if (state === 0) state = 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
