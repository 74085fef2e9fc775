// What a benchmark does with its connections, by name.

export const MODES = ["echo", "request", "connect", "bulk"] as const;
export type Mode = (typeof MODES)[number];
