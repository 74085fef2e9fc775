// Options with times: timeouts as struct timeval, time stamps, and the time at which a packet is sent.

import { SIZEOF_SIZE_T } from "../sys/constants.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { cannotSet, customOption, type SocketOption, numberMember } from "./option.js";
import { checkMembers } from "./memberChecks.js";

/** Bytes of a C long. On Linux it has the size of a size_t. A struct timeval has two longs: seconds, microseconds. */
const LONG = SIZEOF_SIZE_T;
/** The longest timeout in ms: 2^31 - 1 seconds. */
const MAX_MS = 0x7fff_ffff * 1000;

/** An option with a timeout in ms. 0 is no timeout. The kernel rounds the timeout up to ticks of its timer. */
export function timeoutOption(name: string, level: number, optname: number): SocketOption<number, number> {
  return customOption<number, number>(
    name,
    level,
    optname,
    2 * LONG,
    (bytes) => readLong(bytes, 0) * 1000 + readLong(bytes, LONG) / 1000,
    (value) => {
      if (typeof value !== "number")
        throw new TypeError(`${cannotSet(name, value)}, required milliseconds from 0 (none) to ${MAX_MS}`);
      if (!(value >= 0 && value <= MAX_MS)) {
        throw new RangeError(`${cannotSet(name, value)}, required milliseconds from 0 (none) to ${MAX_MS}`);
      }
      // Rounded up to microseconds, so that a short timeout does not become 0, which means no timeout.
      const micros = Math.ceil(value * 1000);
      const bytes = new Uint8Array(2 * LONG);
      writeLong(bytes, 0, Math.floor(micros / 1_000_000));
      writeLong(bytes, LONG, micros % 1_000_000);
      return bytes;
    },
  );
}

function readLong(bytes: Uint8Array, at: number): number {
  return LONG === 8 ? Number(view(bytes).getBigInt64(at, LITTLE_ENDIAN)) : view(bytes).getInt32(at, LITTLE_ENDIAN);
}

function writeLong(bytes: Uint8Array, at: number, value: number): void {
  if (LONG === 8) view(bytes).setBigInt64(at, BigInt(value), LITTLE_ENDIAN);
  else view(bytes).setInt32(at, value, LITTLE_ENDIAN);
}

/** The value of `SO_TIMESTAMPING`: `struct so_timestamping`. */
export interface Timestamping {
  /** `SOF_TIMESTAMPING_` flags. */
  readonly flags: number;
  /** Number of the virtual clock, with `SOF_TIMESTAMPING_BIND_PHC`; 0 if absent. */
  readonly bindPhc?: number;
}

/** An option with a {@link Timestamping}. A number sets only the flags. */
export function timestampingOption(
  name: string,
  level: number,
  optname: number,
): SocketOption<Timestamping, number | Timestamping> {
  return customOption<Timestamping, number | Timestamping>(
    name,
    level,
    optname,
    8,
    (bytes) => {
      const data = view(bytes);
      return {
        flags: data.getUint32(0, LITTLE_ENDIAN),
        bindPhc: bytes.length < 8 ? 0 : data.getInt32(4, LITTLE_ENDIAN),
      };
    },
    (value) => {
      const given = typeof value === "number" ? { flags: value } : checkMembers(name, value, ["flags", "bindPhc"]);
      const { flags, bindPhc } = given as { flags: unknown; bindPhc?: unknown };
      // The short form, which is an int, is for kernels before 5.14: they have no bindPhc.
      const bytes = new Uint8Array(bindPhc === undefined ? 4 : 8);
      view(bytes).setUint32(0, numberMember(name, "flags", flags, 0, 0x7fff_ffff), LITTLE_ENDIAN);
      if (bindPhc !== undefined)
        view(bytes).setInt32(4, numberMember(name, "bindPhc", bindPhc, 0, 0x7fff_ffff), LITTLE_ENDIAN);
      return bytes;
    },
  );
}

/** The value of `SO_TXTIME`: `struct sock_txtime`. */
export interface TxTime {
  /** The clock of the send times: `CLOCK_MONOTONIC`, `CLOCK_TAI`. */
  readonly clockid: number;
  /** `SOF_TXTIME_` flags; 0 if absent. */
  readonly flags?: number;
}

/** An option with a {@link TxTime}. */
export function txTimeOption(name: string, level: number, optname: number): SocketOption<TxTime, TxTime> {
  return customOption<TxTime, TxTime>(
    name,
    level,
    optname,
    8,
    (bytes) => ({ clockid: view(bytes).getInt32(0, LITTLE_ENDIAN), flags: view(bytes).getUint32(4, LITTLE_ENDIAN) }),
    (value) => {
      const { clockid, flags = 0 } = checkMembers(name, value, ["clockid", "flags"]);
      const bytes = new Uint8Array(8);
      view(bytes).setInt32(0, numberMember(name, "clockid", clockid, 0, 0x7fff_ffff), LITTLE_ENDIAN);
      view(bytes).setUint32(4, numberMember(name, "flags", flags, 0, 0xffff_ffff), LITTLE_ENDIAN);
      return bytes;
    },
  );
}
