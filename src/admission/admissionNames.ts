// A file of its own, because the part of forward() that every program loads checks the names.

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
