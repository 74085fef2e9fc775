// The names of the modes of a benchmark.

export const MODES = ["echo", "request", "connect", "bulk"] as const;
export type Mode = (typeof MODES)[number];
