// Names of services: getservbyport(3).

import { getservbyport } from "berkeley";

/** The name of the service of a TCP port; "" if the port has no name. */
export function serviceOf(port: number): string {
  try {
    return getservbyport(port, "tcp");
  } catch {
    return "";
  }
}
