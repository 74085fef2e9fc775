// The names of the options that servers of connections share. They are in a file of their own, because every program
// that imports the library loads the check of these names for forward().

import type { AdmissionOptions } from "./limits.js";

/** The names of `AdmissionOptions`. */
export const ADMISSION_OPTIONS: readonly (keyof AdmissionOptions)[] = [
  "maxConnections",
  "maxConnectionsPerAddress",
  "acceptRate",
  "whenFull",
  "idleTimeout",
  "maxLifetime",
  "allow",
  "deny",
  "proxyProtocol",
  "reserve",
  "onRefused",
  "onPressure",
  "log",
];
