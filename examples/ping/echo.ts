// Sending echo requests and matching what comes back: one loop that waits for the next answer until the next thing is due.

import { randomBytes, randomInt } from "node:crypto";

import {
  AF_INET6,
  AF_UNSPEC,
  type Address,
  getaddrinfo,
  ICMP6_ECHO_REPLY,
  ICMP6_FILTER,
  ICMP_ECHOREPLY,
  ICMP_FILTER,
  type Inet6Address,
  type InetAddress,
  IP_RECVERR,
  IP_RECVTTL,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPV6_RECVERR,
  IPV6_RECVHOPLIMIT,
  type Message,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  SOCK_DGRAM,
  SOCK_RAW,
  Socket,
  SocketError,
} from "berkeley";

import { decodeEcho, decodeReply, ECHO_HEADER, encodeRequest, withoutHeader } from "./packet.js";

export interface PingOptions {
  /** `AF_INET` or `AF_INET6`; without it that of the host's first address. */
  readonly family?: number;
  /** How many requests to send; Infinity is the default. */
  readonly count?: number;
  /** ms from one request to the next. */
  readonly interval?: number;
  /** ms after which a request counts as lost. */
  readonly wait?: number;
  /** Bytes of data in each request. */
  readonly size?: number;
  /** Which kind of socket; without it a datagram socket where the system lets this user have one, or else a raw one. */
  readonly kind?: Kind;
  readonly signal?: AbortSignal;
}

export type Kind = "datagram" | "raw";

export type PingEvent =
  | { readonly type: "start"; readonly address: string; readonly kind: Kind }
  | { readonly type: "sent"; readonly sequence: number }
  | {
      readonly type: "reply";
      readonly sequence: number;
      /** Bytes of the ICMP message. */
      readonly bytes: number;
      readonly from: string;
      /** TTL or hop limit that the answer had left. */
      readonly ttl: number | undefined;
      /** Round-trip time in ms. */
      readonly time: number;
      /** The request had been answered already. */
      readonly duplicate: boolean;
      /** The request had been given up as lost. */
      readonly late: boolean;
    }
  | { readonly type: "lost"; readonly sequence: number }
  /** The network's answer to a request, `from` a router, or this machine's own if there is none. */
  | { readonly type: "error"; readonly sequence: number; readonly code: string; readonly from: string | undefined };

/** Sequence numbers have 16 bits. */
const SEQUENCES = 0x1_0000;
/** An IP packet with all of its options. */
const LARGEST = 0x1_0000;

const STATE = { unused: 0, pending: 1, answered: 2, lost: 3 } as const;

/** Makes the socket. Which groups may have a datagram one stands in net.ipv4.ping_group_range, for both families: icmp(7). */
export function openSocket(family: number, wanted?: Kind): { socket: Socket; kind: Kind } {
  const protocol = family === AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
  if (wanted !== "raw") {
    try {
      return { socket: new Socket(family, SOCK_DGRAM, protocol), kind: "datagram" };
    } catch (error) {
      const refused = error instanceof SocketError && ["EACCES", "EPROTONOSUPPORT"].includes(error.code);
      if (wanted === "datagram" || !refused) throw error;
    }
  }
  const socket = new Socket(family, SOCK_RAW, protocol);
  // Without these a raw socket is told of every ICMP message, our own requests to this machine included.
  if (family === AF_INET6) socket.setsockopt(ICMP6_FILTER, { pass: [ICMP6_ECHO_REPLY] });
  else socket.setsockopt(ICMP_FILTER, { pass: [ICMP_ECHOREPLY] });
  return { socket, kind: "raw" };
}

/**
 * Sends echo requests to a host and tells what happens, as it happens. Ends when each of `count` requests is answered or
 * lost; leaving the loop early closes the socket.
 *
 * @throws SocketError of the resolver, or `EACCES` and `EPERM` where neither kind of socket may be had
 */
export async function* ping(host: string, options: PingOptions = {}): AsyncGenerator<PingEvent, void, undefined> {
  const { count = Infinity, interval = 1_000, wait = 2_000, size = 56, signal } = options;
  if (count !== Infinity && !(Number.isInteger(count) && count >= 1)) {
    throw new RangeError(`Cannot ping: count is ${count}, required a whole number of at least 1`);
  }
  if (!(interval > 0)) throw new RangeError(`Cannot ping: interval is ${interval} ms, required more than 0`);
  if (!(wait > 0)) throw new RangeError(`Cannot ping: wait is ${wait} ms, required more than 0`);
  if (!Number.isInteger(size) || size < 0 || size > LARGEST - ECHO_HEADER - 20 - 1) {
    throw new RangeError(`Cannot ping: size is ${size}, required a whole number of bytes from 0 to 65507`);
  }

  const family = options.family ?? AF_UNSPEC;
  const [found] = await getaddrinfo(host, null, { family, type: SOCK_DGRAM, signal });
  const target = found!.address;
  const inet6 = target.family === AF_INET6;
  const { socket: opened, kind } = openSocket(target.family, options.kind);
  await using socket = opened;
  socket.setsockopt(inet6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, true);
  socket.setsockopt(inet6 ? IPV6_RECVERR : IP_RECVERR, true);
  await socket.connect(target, { signal });
  yield { type: "start", address: hostOf(target), kind };

  // The kernel replaces the identifier of a datagram socket by its port, and hands that socket no other answers. A raw
  // socket hears all answers: the identifier may also be another program's, the random bytes are not.
  const identifier = randomInt(SEQUENCES);
  const payload = Buffer.alloc(size, 0x61);
  randomBytes(8).copy(payload);
  const states = new Uint8Array(SEQUENCES);
  const sentAt = new Float64Array(SEQUENCES);
  const pending = new Set<number>();

  const onMessage = (message: Message): PingEvent | undefined => {
    const now = performance.now();
    const reply = decodeReply(inet6, kind === "raw" && !inet6 ? withoutHeader(message.data) : message.data);
    if (reply === undefined || (kind === "raw" && reply.identifier !== identifier)) return undefined;
    const { sequence } = reply;
    const state = states[sequence]!;
    if (state === STATE.unused || !reply.payload.equals(payload)) return undefined;
    states[sequence] = STATE.answered;
    pending.delete(sequence);
    return {
      type: "reply",
      sequence,
      bytes: ECHO_HEADER + reply.payload.length,
      from: hostOf(message.address ?? target),
      ttl: hopsOf(message),
      time: now - sentAt[sequence]!,
      duplicate: state === STATE.answered,
      late: state === STATE.lost,
    };
  };

  // Each entry holds the request that it is about.
  const takeErrors = async (): Promise<PingEvent[]> => {
    const events: PingEvent[] = [];
    for (;;) {
      let message: Message;
      try {
        message = await socket.recvmsg(LARGEST, { flags: MSG_ERRQUEUE | MSG_DONTWAIT });
      } catch (error) {
        if (error instanceof SocketError && error.code === "EAGAIN") return events;
        throw error;
      }
      const sequence = decodeEcho(message.data)?.sequence ?? -1;
      for (const entry of message.control) {
        if (entry.type !== "IP_RECVERR" && entry.type !== "IPV6_RECVERR") continue;
        if (!pending.delete(sequence)) continue;
        states[sequence] = STATE.lost;
        const from = entry.offender === undefined ? undefined : hostOf(entry.offender);
        events.push({ type: "error", sequence, code: entry.code ?? "", from });
      }
    }
  };

  const start = performance.now();
  for (let sent = 0; sent < count || pending.size > 0;) {
    signal?.throwIfAborted();
    if (sent < count && performance.now() >= start + sent * interval) {
      const sequence = ++sent % SEQUENCES;
      states[sequence] = STATE.pending;
      sentAt[sequence] = performance.now();
      pending.add(sequence);
      // An error of an earlier request may come out of this send, which then has sent nothing.
      const request = encodeRequest(inet6, { identifier, sequence, payload });
      let failure = await trySend(socket, request);
      if (failure !== undefined) {
        const errors = await takeErrors();
        yield* errors;
        if (errors.length > 0) failure = await trySend(socket, request);
      }
      yield { type: "sent", sequence };
      if (failure !== undefined && pending.delete(sequence)) {
        states[sequence] = STATE.lost;
        yield { type: "error", sequence, code: failure, from: undefined };
      }
    }
    const now = performance.now();
    for (const sequence of pending) {
      if (now - sentAt[sequence]! < wait) break;
      pending.delete(sequence);
      states[sequence] = STATE.lost;
      yield { type: "lost", sequence };
    }
    const [oldest] = pending;
    const due = Math.min(
      sent < count ? start + sent * interval : Infinity,
      oldest === undefined ? Infinity : sentAt[oldest]! + wait,
    );
    if (due === Infinity) continue;
    try {
      const event = onMessage(await socket.recvmsg(LARGEST, { timeout: Math.max(0, due - performance.now()), signal }));
      if (event !== undefined) yield event;
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      if (error.code !== "ETIMEDOUT") yield* await takeErrors();
    }
  }
}

/** The code of what the kernel said to it, if it did not take the request. */
async function trySend(socket: Socket, request: Buffer): Promise<string | undefined> {
  try {
    await socket.send(request);
    return undefined;
  } catch (error) {
    if (error instanceof SocketError) return error.code;
    throw error;
  }
}

function hostOf(address: Address): string {
  const { host, scopeid } = address as InetAddress & Inet6Address;
  return scopeid === undefined || scopeid === 0 ? host : `${host}%${scopeid}`;
}

function hopsOf(message: Message): number | undefined {
  for (const one of message.control) {
    if (one.type === "IP_TTL") return one.ttl;
    if (one.type === "IPV6_HOPLIMIT") return one.hoplimit;
  }
  return undefined;
}
