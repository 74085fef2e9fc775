// Sends echo requests to one host, and yields replies, errors and losses.

import { AF_INET6, type Message, MSG_DONTWAIT, MSG_ERRQUEUE, type Socket, SocketError } from "berkeley";

import { type HostAddress, hostOf } from "../frame/hosts.js";
import { openPingSocket, type PingSocketKind } from "./open.js";
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
  | { readonly type: "start"; readonly kind: PingSocketKind }
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
  /** A request failed: `from` is the host that has sent the ICMP error, or undefined for an error of this machine. */
  | { readonly type: "error"; readonly sequence: number; readonly code: string; readonly from: string | undefined };

/** Bytes of a read. No ICMP message is longer. */
const MAX_MESSAGE = 0x1_0000;
/** Maximum number of calls of send(2) for a request. If the last call fails, its error is the error of the request. */
const MAX_SENDS = 4;

/** Pings the host. Ends when all requests were sent and each is answered or lost. */
export async function* ping(target: HostAddress, options: PingOptions): AsyncGenerator<PingEvent, void, undefined> {
  const { count, interval, wait, size, signal } = options;
  const isIPv6 = target.family === AF_INET6;
  const { socket: opened, kind } = await openPingSocket(target, options.ttl, signal);
  await using socket = opened;
  yield { type: "start", kind };
  const requests = new Requests(isIPv6, kind, hostOf(target), size);
  const start = performance.now();
  for (let sent = 0; sent < count || requests.pending.size > 0;) {
    signal.throwIfAborted();
    if (sent < count && performance.now() >= start + sent * interval) {
      const sequence = ++sent % SEQUENCE_COUNT;
      const request = requests.begin(sequence);
      let errorCode = await trySend(socket, request);
      // send(2) may have returned the pending error of an earlier request. Then it has sent nothing, so the error queue
      // is read, and the send is repeated. The repeated send can fail too: the kernel adds an error to the error queue
      // before it sets the pending error of the socket.
      for (let attempt = 1; errorCode !== undefined && attempt < MAX_SENDS; attempt++) {
        yield* await takeErrors(socket, requests);
        // The error queue had an ICMP error for this request, for example from the firewall of this machine.
        if (!requests.pending.has(sequence)) break;
        errorCode = await trySend(socket, request);
      }
      yield { type: "sent", sequence };
      if (errorCode !== undefined && requests.markLost(sequence)) {
        yield { type: "error", sequence, code: errorCode, from: undefined };
      }
    }
    for (const sequence of requests.markOverdue(wait)) yield { type: "lost", sequence };
    // Waits for a reply until the next request is due, or until the oldest pending request is lost.
    const nextSendAt = sent < count ? start + sent * interval : Infinity;
    const deadline = Math.min(nextSendAt, requests.oldestSentAt + wait);
    // All requests were sent, and none is pending: the loop ends.
    if (deadline === Infinity) continue;
    try {
      const timeout = Math.max(0, deadline - performance.now());
      const event = requests.recordReply(await socket.recvmsg(MAX_MESSAGE, { timeout, signal }));
      if (event !== undefined) yield event;
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      if (error.code !== "ETIMEDOUT") yield* await takeErrors(socket, requests);
    }
  }
}

/** Reads the error queue until it is empty. Marks each failed request as lost, and returns an event for it. */
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
    // The data of this message is the request that failed. If the data is too short, -1 stands for no request.
    const sequence = decodeEcho(message.data)?.sequence ?? -1;
    for (const extendedError of message.control) {
      if (extendedError.type !== "IP_RECVERR" && extendedError.type !== "IPV6_RECVERR") continue;
      if (!requests.markLost(sequence)) continue;
      const from = extendedError.offender === undefined ? undefined : hostOf(extendedError.offender as HostAddress);
      events.push({ type: "error", sequence, code: extendedError.code ?? "", from });
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
