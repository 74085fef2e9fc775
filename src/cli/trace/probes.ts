// Finds the routers on the path to a host, without privileges. Each probe is a UDP datagram with a small TTL. Routers
// answer with ICMP errors, which the kernel adds to the socket's error queue (IP_RECVERR, ip(7)).
//
// Each probe has a destination port of its own. A message of the error queue contains this port, which identifies the
// probe.

import {
  AF_INET6,
  Inet6Address,
  InetAddress,
  IP_RECVERR,
  IP_TTL,
  IPV6_RECVERR,
  IPV6_UNICAST_HOPS,
  type Message,
  MSG_ERRQUEUE,
  SO_EE_ORIGIN_ICMP,
  SO_EE_ORIGIN_ICMP6,
  SOCK_DGRAM,
  Socket,
  SocketError,
} from "berkeley";

import { type HostAddress, hostOf } from "../frame/hosts.js";
import type { Hop, Reply, TraceOptions } from "./hop.js";

/** Maximum number of pending probes, as in traceroute(8). */
const MAX_PENDING = 16;
const NO_REPLY: Reply = { from: undefined, time: undefined, isLast: false };
/** The content of each datagram. */
const DATA = Buffer.from("berkeley trace\0".padEnd(32, "."));

/** Yields the hops in order, up to the host or `maxHops`. */
export async function* trace(target: HostAddress, options: TraceOptions): AsyncGenerator<Hop, void, undefined> {
  await using probes = new Probes(target, options);
  /** For each hop whose probes were sent, the promises of the replies. */
  const sentHops: Promise<Reply>[][] = [];
  for (let ttl = 1; ttl <= options.maxHops; ttl++) {
    // Sends the probes of this hop. Also sends those of later hops, as long as at most MAX_PENDING probes are pending:
    // a probe without an answer is pending for the whole timeout, so one hop after another would take too long.
    const canSendNext = (): boolean => sentHops.length < ttl || probes.pendingCount + options.queries <= MAX_PENDING;
    while (sentHops.length < options.maxHops && canSendNext()) sentHops.push(await probes.send(sentHops.length + 1));
    const replies = await Promise.all(sentHops[ttl - 1]!);
    options.signal.throwIfAborted();
    yield { ttl, replies };
    if (replies.some(({ isLast }) => isLast)) return;
  }
}

interface Probe {
  /** The time of the send, as of `performance.now()`. */
  readonly sentAt: number;
  readonly timer: NodeJS.Timeout;
  /** Resolves the promise that send() returned for this probe. */
  readonly resolve: (reply: Reply) => void;
}

class Probes implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #isIPv6: boolean;
  readonly #target: HostAddress;
  readonly #options: TraceOptions;
  /** The pending probes by port. */
  readonly #pending = new Map<number, Probe>();
  /** Aborted when the trace ends. */
  readonly #ending = new AbortController();
  /** The port of the next probe. */
  #port: number;

  constructor(target: HostAddress, options: TraceOptions) {
    this.#target = target;
    this.#isIPv6 = target.family === AF_INET6;
    this.#options = options;
    this.#port = options.port;
    this.#socket = new Socket(target.family, SOCK_DGRAM);
    this.#socket.setsockopt(this.#isIPv6 ? IPV6_RECVERR : IP_RECVERR, true);
    options.signal.addEventListener("abort", () => this.#end(), { once: true });
    void this.#receive((message) => this.#handleErrorMessage(message), { flags: MSG_ERRQUEUE });
    // If a server listens at the port, it may answer with a datagram.
    void this.#receive((message) => this.#handleAnswer(message), { flags: 0 });
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Sends the probes of a hop. Resolves with the promise of each probe's result. */
  async send(ttl: number): Promise<Promise<Reply>[]> {
    const replies: Promise<Reply>[] = [];
    for (let query = 0; query < this.#options.queries; query++) {
      // The TTL is an option of the socket, so no other probe may be sent between setsockopt() and #transmit().
      this.#socket.setsockopt(this.#isIPv6 ? IPV6_UNICAST_HOPS : IP_TTL, ttl);
      const port = this.#port++;
      replies.push(
        new Promise((resolve) => {
          const timer = setTimeout(() => this.#settle(port, NO_REPLY), this.#options.wait);
          this.#pending.set(port, { sentAt: performance.now(), timer, resolve });
        }),
      );
      await this.#transmit(port);
    }
    return replies;
  }

  async #transmit(port: number): Promise<void> {
    const { host } = this.#target;
    const destination =
      this.#target instanceof Inet6Address
        ? new Inet6Address(host, port, this.#target.flowinfo, this.#target.scopeid)
        : new InetAddress(host, port);
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#socket.sendto(DATA, destination, { signal: this.#ending.signal });
        return;
      } catch (error) {
        if (this.#ending.signal.aborted) return;
        // send(2) may have returned the pending error of an earlier probe. Then it has sent nothing, so the send is
        // repeated: once for each probe that can be pending. The error of the last attempt belongs to this probe.
        if (!(error instanceof SocketError)) throw error;
        if (attempt < MAX_PENDING) continue;
        this.#settle(port, { from: undefined, time: undefined, isLast: true, error: error.code });
        return;
      }
    }
  }

  /** Receives messages, and calls `handle` with each, until #end() or until the socket is closed. */
  async #receive(handle: (message: Message) => void, { flags }: { readonly flags: number }): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        const message = await this.#socket.recvmsg(2048, { flags, signal });
        handle(message);
      } catch (error) {
        // An abort rejects with its reason, which is no SocketError. EBADF: the socket was closed.
        const isEnded = !(error instanceof SocketError) || error.code === "EBADF";
        if (isEnded) return;
        // Any other error is a pending error of the socket. It is ignored, because the error queue has it too.
      }
    }
  }

  /** Handles a datagram. Its sender is the host, because routers answer with ICMP. */
  #handleAnswer({ address }: Message): void {
    if (!(address instanceof InetAddress || address instanceof Inet6Address)) return;
    this.#settleAnswered(address.port, { from: hostOf(address), isLast: true });
  }

  /** Handles a message of the error queue. */
  #handleErrorMessage({ address, control }: Message): void {
    if (!(address instanceof InetAddress || address instanceof Inet6Address)) return;
    for (const extendedError of control) {
      if (extendedError.type !== "IP_RECVERR" && extendedError.type !== "IPV6_RECVERR") continue;
      if (extendedError.ee_origin !== SO_EE_ORIGIN_ICMP && extendedError.ee_origin !== SO_EE_ORIGIN_ICMP6) {
        // An error of this machine, such as EMSGSIZE.
        this.#settle(address.port, { from: undefined, time: undefined, isLast: true, error: extendedError.code ?? "" });
        continue;
      }
      const from = extendedError.offender === undefined ? undefined : hostOf(extendedError.offender as HostAddress);
      // Time exceeded is type 11 of ICMP (RFC 792) and 3 of ICMPv6 (RFC 4443).
      const isTimeExceeded = extendedError.ee_type === (this.#isIPv6 ? 3 : 11);
      // ECONNREFUSED is the answer of the host: no server listens at the port. Any other code is a refusal to forward.
      const isAnswer = isTimeExceeded || extendedError.code === "ECONNREFUSED";
      this.#settleAnswered(address.port, {
        from,
        isLast: !isTimeExceeded,
        ...(isAnswer || extendedError.code === undefined ? {} : { error: extendedError.code }),
      });
    }
  }

  /** Settles the probe of a port with an answer that arrives now. */
  #settleAnswered(port: number, reply: Omit<Reply, "time">): void {
    const probe = this.#pending.get(port);
    if (probe !== undefined) this.#settle(port, { ...reply, time: performance.now() - probe.sentAt });
  }

  /** Resolves the promise of the probe with its result. Does nothing if the probe has a result already. */
  #settle(port: number, reply: Reply): void {
    const probe = this.#pending.get(port);
    if (probe === undefined) return;
    clearTimeout(probe.timer);
    this.#pending.delete(port);
    probe.resolve(reply);
  }

  #end(): void {
    this.#ending.abort();
    for (const port of this.#pending.keys()) this.#settle(port, NO_REPLY);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    await this.#socket[Symbol.asyncDispose]();
  }
}
