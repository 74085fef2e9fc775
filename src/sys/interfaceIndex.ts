// Network interfaces as callers name them: by index, by name, or by one of their addresses.
//
// The kernel identifies an interface by its index. Only a few IPv4 options take an address in its place, and compare it
// as it was written: a group that was joined by index can't be left by address there. So every call converts what the
// caller passed to the index, and the three forms mean the same everywhere.

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

/** IFNAMSIZ is 16 with the NUL. */
const NAME_BYTES = 15;

/**
 * The index of the interface with this name: if_nametoindex(3).
 *
 * @throws SocketError `ENODEV`
 */
export function indexOfName(table: Calls, name: string): number {
  const details = (): { address: string } => ({ address: name });
  // The C library would cut a longer name, and find another interface.
  if (Buffer.byteLength(name) > NAME_BYTES) throw socketError(ENODEV, "if_nametoindex", details());
  return check(table.if_nametoindex(name), "if_nametoindex", details);
}

/**
 * The index of an interface.
 *
 * @param action what the caller does, and `name` the name of the value, both for the message
 * @throws TypeError or RangeError for a value that names no interface
 * @throws SocketError `ENODEV` if this machine has no such interface, or no interface that is up has the address
 */
export function interfaceIndex(value: unknown, action: string, name: string): number {
  if (typeof value === "number") return integer(value, action, name, 0, 0x7fff_ffff);
  const refused = (required: string): TypeError =>
    new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required ${required}`);
  if (typeof value !== "string" || value === "" || /[\0/\s]/.test(value)) {
    throw refused("the index, the name or a numeric address of an interface");
  }
  const six = value.includes(":") ? parseIPv6(value) : undefined;
  const four = six === undefined && parseIPv4(value) !== undefined;
  // A name has no colon. A number that is no address of four parts is a mistake more probably than a name.
  if (six === undefined && !four && /:|^[\d.]+$/.test(value)) {
    throw refused("the index, the name or a numeric address of an interface");
  }
  if (six === undefined) return four ? indexOfAddress(value, value, refused) : indexOfName(calls, value);
  if (six.zone === undefined) return indexOfAddress(formatIPv6(six.bytes), value, refused);
  return zoneIndex(six.zone) ?? indexOfName(calls, six.zone);
}

/** The index of the interface that has `host`, an address in its canonical form. */
function indexOfAddress(host: string, given: string, refused: (required: string) => TypeError): number {
  const names = new Set<string>();
  for (const [label, addresses = []] of Object.entries(os().networkInterfaces())) {
    // An address may have a label of its own, which begins with the name of its interface: "eth0:1".
    if (addresses.some(({ address }) => address === host)) names.add(label.split(":", 1)[0]!);
  }
  const [first, ...others] = names;
  if (first === undefined) throw socketError(ENODEV, "if_nametoindex", { address: given });
  if (others.length > 0)
    throw refused(`the name of the interface, because ${[...names].join(" and ")} have the address`);
  return indexOfName(calls, first);
}
