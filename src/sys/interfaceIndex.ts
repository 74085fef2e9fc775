// A user names a network interface by its index, its name, or an address. This file converts each form to the index.
//
// The kernel identifies an interface by its index. A few IPv4 options also take an address, but a program that joined a
// group by index cannot leave the group by address. So every call first converts the interface to its index. Then the
// three forms have the same effect everywhere.

import { formatIPv6, parseIPv4, parseIPv6 } from "../addr/index.js";
import { zoneIndex } from "../addr/ipv6Text.js";
import { os } from "../builtins.js";
import { integer, quote } from "../check/index.js";
import { type Calls, calls } from "./calls.js";
import { check, ENODEV, socketError } from "./errno.js";

/**
 * A network interface: its index, its name (`"eth0"`), or one of its numeric addresses. Name and address are looked up
 * when the call is made. 0 is any interface.
 */
export type NetworkInterface = number | string;

/** IFNAMSIZ without the NUL. */
const MAX_NAME_BYTES = 15;

/**
 * The index of the interface with this name: if_nametoindex(3).
 *
 * @throws SocketError `ENODEV`
 */
export function indexOfName(table: Calls, name: string): number {
  const details = (): { address: string } => ({ address: name });
  // The C library would truncate a longer name, and could find another interface.
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw socketError(ENODEV, "if_nametoindex", details());
  return check(table.if_nametoindex(name), "if_nametoindex", details);
}

/**
 * The index of an interface.
 *
 * @param action what the caller does, for the message
 * @param name the name of the value, for the message
 * @throws TypeError or RangeError for a value that is not an index, name or address
 * @throws SocketError `ENODEV` if this machine has no such interface, or no interface that is up has the address
 */
export function interfaceIndex(value: unknown, action: string, name: string): number {
  if (typeof value === "number") return integer(value, action, name, 0, 0x7fff_ffff);
  const valueError = (required: string): TypeError =>
    new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required ${required}`);
  if (typeof value !== "string" || value === "" || /[\0/\s]/.test(value)) {
    throw valueError("the index, the name or a numeric address of an interface");
  }
  const ipv6 = value.includes(":") ? parseIPv6(value) : undefined;
  const isIPv4 = ipv6 === undefined && parseIPv4(value) !== undefined;
  // A name has no colon. Digits and dots that are not an address are more probably a mistake than a name.
  if (ipv6 === undefined && !isIPv4 && /:|^[\d.]+$/.test(value)) {
    throw valueError("the index, the name or a numeric address of an interface");
  }
  if (ipv6 === undefined) return isIPv4 ? indexOfAddress(value, value, valueError) : indexOfName(calls, value);
  if (ipv6.zone === undefined) return indexOfAddress(formatIPv6(ipv6.bytes), value, valueError);
  // The zone of an address is the index or the name of its interface.
  return zoneIndex(ipv6.zone) ?? indexOfName(calls, ipv6.zone);
}

/**
 * The index of the interface that has the address `host`.
 *
 * @param host the address in its canonical form
 * @param given the address as the user passed it
 * @param valueError makes the error for an address that several interfaces have
 */
function indexOfAddress(host: string, given: string, valueError: (required: string) => TypeError): number {
  const names = new Set<string>();
  for (const [label, addresses = []] of Object.entries(os().networkInterfaces())) {
    // The label of an address is the name of the interface, or begins with it: "eth0:1".
    if (addresses.some(({ address }) => address === host)) names.add(label.split(":", 1)[0]!);
  }
  const [first, ...others] = names;
  if (first === undefined) throw socketError(ENODEV, "if_nametoindex", { address: given });
  if (others.length > 0)
    throw valueError(`the name of the interface, because ${[...names].join(" and ")} have the address`);
  return indexOfName(calls, first);
}
