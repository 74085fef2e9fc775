// The requests of a ping: the time of each, its state, and the request that a reply belongs to.

import { randomBytes, randomInt } from "node:crypto";

import type { Message } from "berkeley";

import { type HostAddress, hostOf } from "../frame/hosts.js";
import type { PingSocketKind } from "./open.js";
import { decodeReply, ECHO_HEADER_SIZE, encodeRequest, removeIpHeader } from "./packet.js";
import type { PingEvent } from "./pinger.js";

/** The number of different sequence numbers, which have 16 bits. */
export const SEQUENCE_COUNT = 0x1_0000;
/** The states of a request. UNUSED: no request with this sequence number was sent yet. */
const UNUSED = 0;
const PENDING = 1;
const ANSWERED = 2;
const LOST = 3;

export class Requests {
  /** The sequence numbers of the pending requests, in the order in which the requests were sent. */
  readonly pending: Set<number> = new Set();
  /** By sequence number: the state of the request, and the time at which it was sent. */
  readonly #states = new Uint8Array(SEQUENCE_COUNT);
  readonly #sentAt = new Float64Array(SEQUENCE_COUNT);
  // A raw socket receives the replies to the requests of all programs. The replies to our requests have our identifier,
  // 16 random bits. Another program may use the same identifier, so the payload also has random bytes. On an ICMP
  // datagram socket, the kernel replaces the identifier, and delivers only replies with the new one.
  readonly #identifier = randomInt(0x1_0000);
  readonly #payload: Buffer;

  readonly #isIPv6: boolean;
  readonly #kind: PingSocketKind;
  readonly #host: string;

  /** @param size number of bytes in the payload of a request */
  constructor(isIPv6: boolean, kind: PingSocketKind, host: string, size: number) {
    this.#isIPv6 = isIPv6;
    this.#kind = kind;
    this.#host = host;
    this.#payload = Buffer.alloc(size, "a");
    randomBytes(8).copy(this.#payload);
  }

  /** The time at which the oldest pending request was sent; Infinity if none is pending. */
  get oldestSentAt(): number {
    const [first] = this.pending;
    return first === undefined ? Infinity : this.#sentAt[first]!;
  }

  /** Records that a request is sent now, and returns its bytes. */
  begin(sequence: number): Buffer {
    this.#states[sequence] = PENDING;
    this.#sentAt[sequence] = performance.now();
    this.pending.add(sequence);
    return encodeRequest(this.#isIPv6, { identifier: this.#identifier, sequence, payload: this.#payload });
  }

  /** Marks a request as lost. Returns false if it is not pending. */
  markLost(sequence: number): boolean {
    if (!this.pending.delete(sequence)) return false;
    this.#states[sequence] = LOST;
    return true;
  }

  /** Marks as lost each request that has waited for `wait` ms, and yields its sequence number. */
  *markOverdue(wait: number): Generator<number> {
    const now = performance.now();
    // The first pending request is the oldest one.
    for (const sequence of this.pending) {
      if (now - this.#sentAt[sequence]! < wait) return;
      this.markLost(sequence);
      yield sequence;
    }
  }

  /** Records a reply, and returns its event. Returns undefined if the message is no reply to one of these requests. */
  recordReply(message: Message): PingEvent | undefined {
    const now = performance.now();
    const isRaw = this.#kind === "raw";
    // A raw socket of IPv4 receives the IP header too (raw(7)).
    const hasIpHeader = isRaw && !this.#isIPv6;
    const reply = decodeReply(this.#isIPv6, hasIpHeader ? removeIpHeader(message.data) : message.data);
    if (reply === undefined || (isRaw && reply.identifier !== this.#identifier)) return undefined;
    const { sequence, payload } = reply;
    const state = this.#states[sequence]!;
    if (state === UNUSED || !payload.equals(this.#payload)) return undefined;
    this.#states[sequence] = ANSWERED;
    this.pending.delete(sequence);
    return {
      type: "reply",
      sequence,
      bytes: ECHO_HEADER_SIZE + payload.length,
      from: message.address === undefined ? this.#host : hostOf(message.address as HostAddress),
      ttl: ttlOf(message),
      time: now - this.#sentAt[sequence]!,
      duplicate: state === ANSWERED,
      late: state === LOST,
    };
  }
}

/** The TTL or hop limit of a received message. */
function ttlOf({ control }: Message): number | undefined {
  for (const controlMessage of control) {
    if (controlMessage.type === "IP_TTL") return controlMessage.ttl;
    if (controlMessage.type === "IPV6_HOPLIMIT") return controlMessage.hoplimit;
  }
  return undefined;
}
