// The options and the results of a trace.

export interface TraceOptions {
  readonly maxHops: number;
  /** Probes for each hop. */
  readonly queries: number;
  /** ms to wait for the answer to a probe. */
  readonly wait: number;
  /** Port of the first probe; each further probe adds 1. */
  readonly port: number;
  readonly signal: AbortSignal;
}

/** The result of a probe. */
export interface Reply {
  /** The address of the router or host that answered; undefined without an answer. */
  readonly from: string | undefined;
  /** ms until the answer; undefined without an answer. */
  readonly time: number | undefined;
  /** Whether the trace ends with this hop: the host has answered, or a router or this machine has refused the probe. */
  readonly isLast: boolean;
  /** The error code, if a router or this machine has refused the probe. */
  readonly error?: string;
}

export interface Hop {
  /** The TTL of the probes: 1 for the first router. */
  readonly ttl: number;
  readonly replies: readonly Reply[];
}
