// The options of a stream.

import { checkSize } from "../reading/readArguments.js";

/** The limits of a stream. */
export interface StreamOptions {
  /**
   * Maximum number of bytes of one read from the connection. The stream reads at most this many bytes more than a call
   * needs. Default 64 KiB.
   */
  readonly readSize?: number | undefined;
  /** Maximum number of bytes of a line or of a result of `readUntil`, if the call has no `max`. Default 64 KiB. */
  readonly maxLine?: number | undefined;
  /** Maximum number of bytes of a frame, if neither the call nor the codec has a `max`. Default 1 MiB. */
  readonly maxFrame?: number | undefined;
  /**
   * Maximum number of bytes of the writes that wait ({@link Stream.outbox}). A write that would exceed the limit
   * rejects with an {@link OutboxFullError}. A single write may have any size: the limit applies only while other
   * writes wait. Default 4 MiB.
   */
  readonly maxOutbox?: number | undefined;
  /** Maximum number of writes that wait. Each write needs some memory besides its bytes. Default 65,536. */
  readonly maxOutboxWrites?: number | undefined;
  /**
   * Returns the time in milliseconds. A call with a timeout uses it to compute the remaining time of its next read.
   * Default `performance.now`.
   */
  readonly now?: (() => number) | undefined;
}

/** The names of {@link StreamOptions}. */
export const STREAM_NAMES: readonly string[] = [
  "readSize",
  "maxLine",
  "maxFrame",
  "maxOutbox",
  "maxOutboxWrites",
  "now",
];

/** The limits of a stream, with all defaults filled in. */
export interface StreamLimits {
  readonly readSize: number;
  readonly maxLine: number;
  readonly maxFrame: number;
  readonly maxOutbox: number;
  readonly maxOutboxWrites: number;
}

/** Shared by all streams without limits of their own. */
const DEFAULT_LIMITS: StreamLimits = {
  readSize: 65_536,
  maxLine: 65_536,
  maxFrame: 1_048_576,
  maxOutbox: 4_194_304,
  maxOutboxWrites: 65_536,
};

/** Checks the limits of a stream, and fills in the defaults. */
export function completeStreamLimits(opts: StreamOptions, action: string): StreamLimits {
  const { readSize, maxLine, maxFrame, maxOutbox, maxOutboxWrites } = opts;
  const firstGiven = readSize ?? maxLine ?? maxFrame ?? maxOutbox ?? maxOutboxWrites;
  if (firstGiven === undefined || firstGiven === null) return DEFAULT_LIMITS;
  const limit = (name: keyof StreamLimits, min: number): number =>
    checkSize(opts[name] ?? DEFAULT_LIMITS[name], action, name, min);
  return {
    readSize: limit("readSize", 1),
    maxLine: limit("maxLine", 1),
    maxFrame: limit("maxFrame", 1),
    maxOutbox: limit("maxOutbox", 0),
    maxOutboxWrites: limit("maxOutboxWrites", 1),
  };
}

/** The default of `now`. */
export const systemNow = (): number => performance.now();
