// Control messages of the level SOL_SOCKET: credentials, time stamps, counters. socket(7), unix(7).
// SCM_RIGHTS and SCM_PIDFD, which carry descriptors, are in decode.ts and encode.ts.

import { integer, quote } from "../check/index.js";
import * as k from "../sys/constants.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { type Codec, uintCodec } from "./codec.js";

/** The sender of a message, as verified by the kernel: SCM_CREDENTIALS of unix(7), after `SO_PASSCRED` was set. */
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

/** A time as seconds since 1970 and nanoseconds: timespec(3type). */
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
 * Time stamps of SO_TIMESTAMPING: `ts[0]` by software, `ts[2]` by the hardware. A time stamp that does not exist is 0.
 * A message that was received with `MSG_ERRQUEUE` has the time stamps of a sent packet.
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

/** The time at which the kernel sends the packet, in ns of the clock that SO_TXTIME selects. */
export interface TxtimeToSend {
  readonly type: "SCM_TXTIME";
  readonly txtime: bigint;
}

/** The types of messages whose times have numbers of 64 bits on every platform. Times of older types have C longs. */
const NEW_TIMES: ReadonlySet<number> = new Set([k.SO_TIMESTAMP_NEW, k.SO_TIMESTAMPNS_NEW, k.SO_TIMESTAMPING_NEW]);

/** Whether the two numbers of a time have 64 bits each. */
function has64Bits(cmsgType: number): boolean {
  return k.SIZEOF_SIZE_T === 8 || NEW_TIMES.has(cmsgType);
}

/** Reads the two numbers of a time, which have 32 or 64 bits each. */
function timePair(data: Uint8Array, at: number, is64: boolean): [number, number] {
  const input = view(data);
  if (!is64) return [input.getInt32(at, LITTLE_ENDIAN), input.getInt32(at + 4, LITTLE_ENDIAN)];
  return [Number(input.getBigInt64(at, LITTLE_ENDIAN)), Number(input.getBigInt64(at + 8, LITTLE_ENDIAN))];
}

/** Makes the codec of a time stamp. Its second number is microseconds (`tv_usec`) or nanoseconds (`tv_nsec`). */
function timestampCodec(
  name: "SO_TIMESTAMP" | "SO_TIMESTAMPNS",
  cmsgType: number,
  fractionName: "tv_usec" | "tv_nsec",
): Codec {
  const is64 = has64Bits(cmsgType);
  return {
    name,
    level: k.SOL_SOCKET,
    cmsgType,
    decode: (data) => {
      if (data.length < (is64 ? 16 : 8)) return undefined;
      const [tv_sec, fractionOfSecond] = timePair(data, 0, is64);
      return { type: name, tv_sec, [fractionName]: fractionOfSecond };
    },
  };
}

function timestampingCodec(cmsgType: number): Codec {
  const is64 = has64Bits(cmsgType);
  return {
    name: "SCM_TIMESTAMPING",
    level: k.SOL_SOCKET,
    cmsgType,
    decode: (data): TimestampingMessage | undefined => {
      const pairSize = is64 ? 16 : 8;
      if (data.length < 3 * pairSize) return undefined;
      const read = (index: number): Timespec => {
        const [tv_sec, tv_nsec] = timePair(data, index * pairSize, is64);
        return { tv_sec, tv_nsec };
      };
      return { type: "SCM_TIMESTAMPING", ts: [read(0), read(1), read(2)] };
    },
  };
}

const CREDENTIALS: Codec = {
  name: "SCM_CREDENTIALS",
  level: k.SOL_SOCKET,
  cmsgType: k.SCM_CREDENTIALS,
  decode: (data): CredentialsMessage | undefined => {
    if (data.length < 12) return undefined;
    const input = view(data);
    return {
      type: "SCM_CREDENTIALS",
      pid: input.getInt32(0, LITTLE_ENDIAN),
      uid: input.getUint32(4, LITTLE_ENDIAN),
      gid: input.getUint32(8, LITTLE_ENDIAN),
    };
  },
  encode: (message: CredentialsToSend, messageName) => {
    const bytes = new Uint8Array(12);
    const out = view(bytes);
    const { pid = process.pid, uid = process.getuid!(), gid = process.getgid!() } = message;
    out.setInt32(0, integer(pid, "sendmsg", `${messageName}.pid`, 0, 0x7fff_ffff), LITTLE_ENDIAN);
    out.setUint32(4, integer(uid, "sendmsg", `${messageName}.uid`, 0, 0xffff_ffff), LITTLE_ENDIAN);
    out.setUint32(8, integer(gid, "sendmsg", `${messageName}.gid`, 0, 0xffff_ffff), LITTLE_ENDIAN);
    return bytes;
  },
};

const TXTIME: Codec = {
  name: "SCM_TXTIME",
  level: k.SOL_SOCKET,
  cmsgType: k.SCM_TXTIME,
  encode: ({ txtime }: TxtimeToSend, messageName) => {
    if (typeof txtime !== "bigint")
      throw new TypeError(`Cannot sendmsg: ${messageName}.txtime is ${quote(txtime)}, required a bigint of ns`);
    if (txtime < 0n || txtime >= 1n << 64n)
      throw new RangeError(`Cannot sendmsg: ${messageName}.txtime is ${txtime}, required 0 to 2^64-1 ns`);
    const bytes = new Uint8Array(8);
    view(bytes).setBigUint64(0, txtime, LITTLE_ENDIAN);
    return bytes;
  },
};

export const SOCKET_CODECS: readonly Codec[] = [
  CREDENTIALS,
  timestampCodec("SO_TIMESTAMP", k.SO_TIMESTAMP, "tv_usec"),
  timestampCodec("SO_TIMESTAMP", k.SO_TIMESTAMP_NEW, "tv_usec"),
  timestampCodec("SO_TIMESTAMPNS", k.SO_TIMESTAMPNS, "tv_nsec"),
  timestampCodec("SO_TIMESTAMPNS", k.SO_TIMESTAMPNS_NEW, "tv_nsec"),
  uintCodec("SO_MARK", k.SOL_SOCKET, k.SO_MARK, "mark", "send"),
  timestampingCodec(k.SO_TIMESTAMPING),
  timestampingCodec(k.SO_TIMESTAMPING_NEW),
  uintCodec("SO_RXQ_OVFL", k.SOL_SOCKET, k.SO_RXQ_OVFL, "dropped", "receive only"),
  TXTIME,
];
