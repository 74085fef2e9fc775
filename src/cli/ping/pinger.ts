// Sends echo requests to one host, and yields replies, errors and losses.

import { AF_INET6, type Message, MSG_DONTWAIT, MSG_ERRQUEUE, type Socket, SocketError } from "berkeley";

import { type HostAddress, hostOf } from "../frame/hosts.js";
import { type Kind, openPing } from "./open.js";
import { decodeEcho } from "./packet.js";
import { Requests, SEQUENCE_COUNT } from "./requests.js";

export interface PingOptions {
  /** The number of requests; Infinity for no limit. */
  readonly count: number;
  /** ms from one request to the next. */
  readonly interval: number;
  /** ms after which a request counts as lost. */
  readonly wait: number;
  /** Bytes of data in each request. */
  readonly size: number;
  readonly ttl: number | undefined;
  readonly signal: AbortSignal;
}

export type PingEvent =
  | { readonly type: "start"; readonly kind: Kind }
  | { readonly type: "sent"; readonly sequence: number }
  | {
      readonly type: "reply";
      readonly sequence: number;
      /** Bytes of the ICMP message. */
      readonly bytes: number;
      readonly from: string;
      /** The TTL or hop limit in the received reply. */
      readonly ttl: number | undefined;
      /** Round-trip time in ms. */
      readonly time: number;
      /** Whether this request had a reply before. */
      readonly duplicate: boolean;
      /** Whether this request counted as lost before. */
      readonly late: boolean;
    }
  | { readonly type: "lost"; readonly sequence: number }
  /** A request failed: `from` is the router that has sent the ICMP error, or undefined for an error of this machine. */
  | { readonly type: "error"; readonly sequence: number; readonly code: string; readonly from: string | undefined };

/** The size of the receive buffer. No ICMP message is longer. */
const MAX_MESSAGE = 0x1_0000;

/** Pings the host until each request is answered or lost. */
export async function* ping(target: HostAddress, options: PingOptions): AsyncGenerator<PingEvent, void, undefined> {
  const { count, interval, wait, size, signal } = options;
  const inet6 = target.family === AF_INET6;
  const { socket: opened, kind } = await openPing(target, options.ttl, signal);
  await using socket = opened;
  yield { type: "start", kind };
  const requests = new Requests(inet6, kind, hostOf(target), size);
  const start = performance.now();
  for (let sent = 0; sent < count || requests.pending.size > 0;) {
    signal.throwIfAborted();
    if (sent < count && performance.now() >= start + sent * interval) {
      const sequence = ++sent % SEQUENCE_COUNT;
      const request = requests.begin(sequence);
      // send(2) may return the error of an earlier request, and then it has sent nothing.
      let failure = await trySend(socket, request);
      if (failure !== undefined) {
        const errors = await takeErrors(socket, requests);
        yield* errors;
        if (errors.length > 0) failure = await trySend(socket, request);
      }
      yield { type: "sent", sequence };
      if (failure !== undefined && requests.markLost(sequence)) {
        yield { type: "error", sequence, code: failure, from: undefined };
      }
    }
    for (const sequence of requests.overdue(wait)) yield { type: "lost", sequence };
    const due = Math.min(sent < count ? start + sent * interval : Infinity, requests.oldestSentAt + wait);
    if (due === Infinity) continue;
    try {
      const timeout = Math.max(0, due - performance.now());
      const event = requests.answer(await socket.recvmsg(MAX_MESSAGE, { timeout, signal }));
      if (event !== undefined) yield event;
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      if (error.code !== "ETIMEDOUT") yield* await takeErrors(socket, requests);
    }
  }
}

/** Reads the socket's error queue until it is empty. Each entry contains the request that failed. */
async function takeErrors(socket: Socket, requests: Requests): Promise<PingEvent[]> {
  const events: PingEvent[] = [];
  for (;;) {
    let message: Message;
    try {
      message = await socket.recvmsg(MAX_MESSAGE, { flags: MSG_ERRQUEUE | MSG_DONTWAIT });
    } catch (error) {
      if (error instanceof SocketError && error.code === "EAGAIN") return events;
      throw error;
    }
    const sequence = decodeEcho(message.data)?.sequence ?? -1;
    for (const entry of message.control) {
      if ((entry.type !== "IP_RECVERR" && entry.type !== "IPV6_RECVERR") || !requests.markLost(sequence)) continue;
      const from = entry.offender === undefined ? undefined : hostOf(entry.offender as HostAddress);
      events.push({ type: "error", sequence, code: entry.code ?? "", from });
    }
  }
}

/** Sends a request. Returns the error code if send(2) failed. */
async function trySend(socket: Socket, request: Buffer): Promise<string | undefined> {
  try {
    await socket.send(request);
    return undefined;
  } catch (error) {
    if (error instanceof SocketError) return error.code;
    throw error;
  }
}
