// The options of a stream.

/** The limits of a stream. */
export interface StreamOptions {
  /**
   * Most bytes of one read from the connection. So it is the most that the stream reads beyond what a call needs.
   * Default 64 KiB.
   */
  readonly readSize?: number | undefined;
  /** Most bytes of a line or of a result of `readUntil`, if the call has no `max`. Default 64 KiB. */
  readonly maxLine?: number | undefined;
  /** Most bytes of a frame, if neither the call nor the codec has a `max`. Default 1 MiB. */
  readonly maxFrame?: number | undefined;
  /** Returns the time in milliseconds. A call with a timeout divides it among its reads. Default `performance.now`. */
  readonly now?: (() => number) | undefined;
}
