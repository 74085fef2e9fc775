// Control messages of the level SOL_SOCKET: credentials, time stamps, counters. socket(7), unix(7).
// SCM_RIGHTS and SCM_PIDFD, which carry descriptors, are in decode.ts and encode.ts.

import { integer, quote } from "../check/index.js";
import * as k from "../sys/constants.js";
import { LITTLE, view } from "../sys/nativeInts.js";
import { type Codec, uintCodec } from "./codec.js";

/** The sender of a message, checked by the kernel: SCM_CREDENTIALS of unix(7), after `SO_PASSCRED` was set. */
export interface CredentialsMessage {
  readonly type: "SCM_CREDENTIALS";
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Credentials to send. Default: those of this process. Other values need privileges. */
export interface CredentialsToSend {
  readonly type: "SCM_CREDENTIALS";
  readonly pid?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** Seconds since 1970 and nanoseconds: timespec(3type). */
export interface Timespec {
  readonly tv_sec: number;
  readonly tv_nsec: number;
}

/** The time of arrival in microseconds: SO_TIMESTAMP of socket(7). */
export interface TimestampMessage {
  readonly type: "SO_TIMESTAMP";
  readonly tv_sec: number;
  readonly tv_usec: number;
}

/** The time of arrival in nanoseconds: SO_TIMESTAMPNS. */
export interface TimestampNsMessage extends Timespec {
  readonly type: "SO_TIMESTAMPNS";
}

/**
 * Time stamps of SO_TIMESTAMPING: `ts[0]` by software, `ts[2]` by the hardware; zeros where there is none. With
 * `MSG_ERRQUEUE` they are those of a packet that was sent.
 */
export interface TimestampingMessage {
  readonly type: "SCM_TIMESTAMPING";
  readonly ts: readonly [software: Timespec, unused: Timespec, hardware: Timespec];
}

/** Number of packets that the socket has dropped because its queue was full: SO_RXQ_OVFL of socket(7). */
export interface OverflowMessage {
  readonly type: "SO_RXQ_OVFL";
  readonly dropped: number;
}

/** The packet's mark: SO_MARK of socket(7). Received after `SO_RCVMARK` was set. */
export interface MarkMessage {
  readonly type: "SO_MARK";
  readonly mark: number;
}

/** The time at which the packet is sent, in ns of the clock that SO_TXTIME sets. */
export interface TxtimeToSend {
  readonly type: "SCM_TXTIME";
  readonly txtime: bigint;
}

/**
 * Whether the numbers of a timeval or timespec have 64 bits. In the old layout they are C longs, in the new one 64
 * bits.
 */
function isWide(cmsg: number): boolean {
  return k.SIZEOF_SIZE_T === 8 || NEW_TIMES.has(cmsg);
}

const NEW_TIMES: ReadonlySet<number> = new Set([k.SO_TIMESTAMP_NEW, k.SO_TIMESTAMPNS_NEW, k.SO_TIMESTAMPING_NEW]);

/** Reads two numbers of 32 or 64 bits each. */
function timePair(data: Uint8Array, at: number, wide: boolean): [number, number] {
  const input = view(data);
  if (!wide) return [input.getInt32(at, LITTLE), input.getInt32(at + 4, LITTLE)];
  return [Number(input.getBigInt64(at, LITTLE)), Number(input.getBigInt64(at + 8, LITTLE))];
}

function timestamp(cmsg: number): Codec {
  const wide = isWide(cmsg);
  return {
    name: "SO_TIMESTAMP",
    level: k.SOL_SOCKET,
    cmsg,
    decode: (data): TimestampMessage | undefined => {
      if (data.length < (wide ? 16 : 8)) return undefined;
      const [tv_sec, tv_usec] = timePair(data, 0, wide);
      return { type: "SO_TIMESTAMP", tv_sec, tv_usec };
    },
  };
}

function timestampNs(cmsg: number): Codec {
  const wide = isWide(cmsg);
  return {
    name: "SO_TIMESTAMPNS",
    level: k.SOL_SOCKET,
    cmsg,
    decode: (data): TimestampNsMessage | undefined => {
      if (data.length < (wide ? 16 : 8)) return undefined;
      const [tv_sec, tv_nsec] = timePair(data, 0, wide);
      return { type: "SO_TIMESTAMPNS", tv_sec, tv_nsec };
    },
  };
}

function timestamping(cmsg: number): Codec {
  const wide = isWide(cmsg);
  return {
    name: "SCM_TIMESTAMPING",
    level: k.SOL_SOCKET,
    cmsg,
    decode: (data): TimestampingMessage | undefined => {
      if (data.length < (wide ? 48 : 24)) return undefined;
      const read = (index: number): Timespec => {
        const [tv_sec, tv_nsec] = timePair(data, index * (wide ? 16 : 8), wide);
        return { tv_sec, tv_nsec };
      };
      return { type: "SCM_TIMESTAMPING", ts: [read(0), read(1), read(2)] };
    },
  };
}

const CREDENTIALS: Codec = {
  name: "SCM_CREDENTIALS",
  level: k.SOL_SOCKET,
  cmsg: k.SCM_CREDENTIALS,
  decode: (data): CredentialsMessage | undefined => {
    if (data.length < 12) return undefined;
    const input = view(data);
    return {
      type: "SCM_CREDENTIALS",
      pid: input.getInt32(0, LITTLE),
      uid: input.getUint32(4, LITTLE),
      gid: input.getUint32(8, LITTLE),
    };
  },
  encode: (message: CredentialsToSend, name) => {
    const bytes = new Uint8Array(12);
    const out = view(bytes);
    const { pid = process.pid, uid = process.getuid!(), gid = process.getgid!() } = message;
    out.setInt32(0, integer(pid, "sendmsg", `${name}.pid`, 0, 0x7fff_ffff), LITTLE);
    out.setUint32(4, integer(uid, "sendmsg", `${name}.uid`, 0, 0xffff_ffff), LITTLE);
    out.setUint32(8, integer(gid, "sendmsg", `${name}.gid`, 0, 0xffff_ffff), LITTLE);
    return bytes;
  },
};

const TXTIME: Codec = {
  name: "SCM_TXTIME",
  level: k.SOL_SOCKET,
  cmsg: k.SCM_TXTIME,
  encode: ({ txtime }: TxtimeToSend, name) => {
    if (typeof txtime !== "bigint")
      throw new TypeError(`Cannot sendmsg: ${name}.txtime is ${quote(txtime)}, required a bigint of ns`);
    if (txtime < 0n || txtime >= 1n << 64n)
      throw new RangeError(`Cannot sendmsg: ${name}.txtime is ${txtime}, required 0 to 2^64-1 ns`);
    const bytes = new Uint8Array(8);
    view(bytes).setBigUint64(0, txtime, LITTLE);
    return bytes;
  },
};

export const SOCKET_CODECS: readonly Codec[] = [
  CREDENTIALS,
  timestamp(k.SO_TIMESTAMP),
  timestamp(k.SO_TIMESTAMP_NEW),
  timestampNs(k.SO_TIMESTAMPNS),
  timestampNs(k.SO_TIMESTAMPNS_NEW),
  uintCodec("SO_MARK", k.SOL_SOCKET, k.SO_MARK, "mark", true),
  timestamping(k.SO_TIMESTAMPING),
  timestamping(k.SO_TIMESTAMPING_NEW),
  uintCodec("SO_RXQ_OVFL", k.SOL_SOCKET, k.SO_RXQ_OVFL, "dropped", false),
  TXTIME,
];
