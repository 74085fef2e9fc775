// Sends echo requests and matches the answers. One loop waits for the next answer until the next deadline.

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
  /** `AF_INET` or `AF_INET6`. Default: the family of the host's first address. */
  readonly family?: number;
  /** Number of requests to send. Default Infinity. */
  readonly count?: number;
  /** Milliseconds from one request to the next. */
  readonly interval?: number;
  /** Milliseconds after which a request counts as lost. */
  readonly wait?: number;
  /** Bytes of data in each request. */
  readonly size?: number;
  /** The kind of socket. Default: a datagram socket if the system permits it to this user, otherwise a raw socket. */
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
      /** TTL or hop limit of the answer. */
      readonly ttl: number | undefined;
      /** Round-trip time in milliseconds. */
      readonly time: number;
      /** Another answer to the request came before. */
      readonly duplicate: boolean;
      /** The request was already counted as lost. */
      readonly late: boolean;
    }
  | { readonly type: "lost"; readonly sequence: number }
  /** An ICMP error for a request, `from` a router, or from this machine if there is no `from`. */
  | { readonly type: "error"; readonly sequence: number; readonly code: string; readonly from: string | undefined };

/** Sequence numbers have 16 bits. */
const SEQUENCES = 0x1_0000;
/** More than any packet has, with its IP header. */
const MAX_PACKET = 0x1_0000;

const STATE = { unused: 0, pending: 1, answered: 2, lost: 3 } as const;

/**
 * Makes the socket. net.ipv4.ping_group_range lists the groups that may have a datagram socket, for both families:
 * icmp(7).
 */
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
  // Without these filters a raw socket gets every ICMP message, also our own requests to this machine.
  if (family === AF_INET6) socket.setsockopt(ICMP6_FILTER, { pass: [ICMP6_ECHO_REPLY] });
  else socket.setsockopt(ICMP_FILTER, { pass: [ICMP_ECHOREPLY] });
  return { socket, kind: "raw" };
}

/**
 * Sends echo requests to a host and yields an event for each answer, error and loss. It ends when each of `count`
 * requests is answered or lost. Leaving the loop early closes the socket.
 *
 * @throws SocketError of the resolver, or `EACCES` or `EPERM` if the user may have neither kind of socket
 */
export async function* ping(host: string, options: PingOptions = {}): AsyncGenerator<PingEvent, void, undefined> {
  const { count = Infinity, interval = 1_000, wait = 2_000, size = 56, signal } = options;
  if (count !== Infinity && !(Number.isInteger(count) && count >= 1)) {
    throw new RangeError(`Cannot ping: count is ${count}, required a whole number of at least 1`);
  }
  if (!(interval > 0)) throw new RangeError(`Cannot ping: interval is ${interval} ms, required more than 0`);
  if (!(wait > 0)) throw new RangeError(`Cannot ping: wait is ${wait} ms, required more than 0`);
  if (!Number.isInteger(size) || size < 0 || size > MAX_PACKET - ECHO_HEADER - 20 - 1) {
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

  // On a datagram socket the kernel replaces the identifier by the port, and delivers only answers with that
  // identifier. A raw socket gets all answers. Another program may use the same identifier, but not the same random
  // bytes.
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

  // Each entry of the error queue contains the request that caused it.
  const takeErrors = async (): Promise<PingEvent[]> => {
    const events: PingEvent[] = [];
    for (;;) {
      let message: Message;
      try {
        message = await socket.recvmsg(MAX_PACKET, { flags: MSG_ERRQUEUE | MSG_DONTWAIT });
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
      // This send may return the error of an earlier request. Then it has sent nothing.
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
      const event = onMessage(
        await socket.recvmsg(MAX_PACKET, { timeout: Math.max(0, due - performance.now()), signal }),
      );
      if (event !== undefined) yield event;
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      if (error.code !== "ETIMEDOUT") yield* await takeErrors();
    }
  }
}

/** The code of the kernel's error, if the kernel refused the request. */
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
