// What a trace is told, and what it finds.

export interface TraceOptions {
  readonly maxHops: number;
  /** Probes for each hop. */
  readonly queries: number;
  /** ms after which a probe has no answer. */
  readonly wait: number;
  /** Port of the first probe; each further one adds 1. */
  readonly port: number;
  readonly signal: AbortSignal;
}

/** What came of a probe. */
export interface Reply {
  /** Who answered; undefined when nobody did. */
  readonly from: string | undefined;
  /** ms until the answer. */
  readonly time: number | undefined;
  /** The host itself has answered, or something has refused the way to it. */
  readonly final: boolean;
  /** The kernel's code for a refusal that is not the host's. */
  readonly error?: string;
}

export interface Hop {
  readonly hop: number;
  readonly replies: readonly Reply[];
}
