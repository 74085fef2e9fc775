// Names of ports: getservbyport(3).

import { getservbyport } from "berkeley";

/** The name of a TCP port, "" when it has none. */
export function serviceOf(port: number): string {
  try {
    return getservbyport(port, "tcp");
  } catch {
    return "";
  }
}
