// Services and protocols from /etc/services and /etc/protocols, or from the sources that nsswitch.conf(5) names.

import { integer } from "../check/index.js";
import { calls } from "../sys/calls.js";
import { check, socketError } from "../sys/errno.js";
import { checkOptionalText, checkPlainText } from "./textArguments.js";

/**
 * The port of a service: getservbyname(3). It reads a file, synchronously.
 *
 * @param name such as `"http"`
 * @param protocol such as `"tcp"` or `"udp"`; without it the first entry of any protocol
 * @throws SocketError `ENOENT` if there is no such service
 * @see getservbyname(3)
 * @example
 * ```ts
 * import { getservbyname } from "berkeley";
 *
 * console.log(getservbyname("http", "tcp")); // prints: 80
 * ```
 */
export function getservbyname(name: string, protocol?: string): number {
  const service = checkPlainText(name, "getservbyname", "name");
  const proto = checkOptionalText(protocol, "getservbyname", "protocol");
  return check(calls.getservbyname(service, proto), "getservbyname", () => ({
    address: proto === null ? service : `${service}/${proto}`,
  }));
}

/**
 * The service at a port: getservbyport(3). It reads a file, synchronously.
 *
 * @param port 0 to 65535, in the byte order of the host
 * @param protocol such as `"tcp"` or `"udp"`; without it the first entry of any protocol
 * @throws SocketError `ENOENT` if there is no such service
 * @see getservbyport(3)
 * @example
 * ```ts
 * import { getservbyport } from "berkeley";
 *
 * console.log(getservbyport(53, "udp")); // prints: domain
 * ```
 */
export function getservbyport(port: number, protocol?: string): string {
  const number = integer(port, "getservbyport", "port", 0, 65535);
  const proto = checkOptionalText(protocol, "getservbyport", "protocol");
  const name = calls.getservbyport(number, proto);
  if (typeof name === "string") return name;
  throw socketError(name, "getservbyport", { address: proto === null ? String(number) : `${number}/${proto}` });
}

/**
 * The number of a protocol, as `socket(2)` takes it: getprotobyname(3). It reads a file, synchronously.
 *
 * @param name such as `"tcp"` or `"icmp"`
 * @throws SocketError `ENOENT` if there is no such protocol
 * @see getprotobyname(3)
 * @example
 * ```ts
 * import { getprotobyname, IPPROTO_UDP } from "berkeley";
 *
 * console.log(getprotobyname("udp") === IPPROTO_UDP); // prints: true
 * ```
 */
export function getprotobyname(name: string): number {
  const protocol = checkPlainText(name, "getprotobyname", "name");
  return check(calls.getprotobyname(protocol), "getprotobyname", () => ({ address: protocol }));
}
