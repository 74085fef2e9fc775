// UdpSocket.join() and leave(), for multicast groups of IPv4 and IPv6.
//
// Linux has three options to join a group: IP_ADD_MEMBERSHIP, IPV6_ADD_MEMBERSHIP, and MCAST_JOIN_GROUP of RFC 3678.
// This file uses MCAST_JOIN_GROUP, for two reasons. Its struct has a sockaddr, so it works for both families. And for
// one source of an IPv4 group, only the options of RFC 3678 take the index of an interface.
//
// An IPv6 socket that receives IPv4 can join IPv4 groups too.

import { AF_INET, formatIPv6, parseIPv4, parseIPv6 } from "../addr/index.js";
import { checkNames, checkOptions, quote } from "../check/index.js";
import { restateError, SocketError } from "../errors/index.js";
import {
  IPV6_V6ONLY,
  MCAST_JOIN_GROUP,
  MCAST_JOIN_SOURCE_GROUP,
  MCAST_LEAVE_GROUP,
  MCAST_LEAVE_SOURCE_GROUP,
  type NetworkInterface,
} from "../options/index.js";
import type { Socket } from "../socket/index.js";
import { interfaceIndex } from "../sys/interfaceIndex.js";

/** Options of {@link UdpSocket.join} and {@link UdpSocket.leave}. */
export interface GroupOptions {
  /**
   * The interface: its name, its index, or one of its addresses. Default: the zone of the group
   * (`"ff02::fb%eth0"`), otherwise the interface of the route to the group.
   */
  readonly interface?: NetworkInterface | undefined;
  /** Receives only packets of this numeric address. Join again for each further source. */
  readonly source?: string | undefined;
}

/** For each action, the option for all sources of a group, and the option for one source. */
const MEMBERSHIP_OPTIONS = {
  join: [MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP],
  leave: [MCAST_LEAVE_GROUP, MCAST_LEAVE_SOURCE_GROUP],
} as const;

/** A numeric address, with its zone apart. */
interface NumericAddress {
  readonly family: 4 | 6;
  readonly host: string;
  readonly zone: string | undefined;
}

/** Undefined if `text` is no numeric address. */
function parseNumeric(text: unknown): NumericAddress | undefined {
  if (typeof text !== "string") return undefined;
  if (parseIPv4(text) !== undefined) return { family: 4, host: text, zone: undefined };
  const ipv6 = parseIPv6(text);
  return ipv6 === undefined ? undefined : { family: 6, host: formatIPv6(ipv6.bytes), zone: ipv6.zone };
}

/** Whether the address is in 224.0.0.0/4 or in ff00::/8. */
function isGroup({ family, host }: NumericAddress): boolean {
  const firstPart = host.split(/[.:]/, 1)[0]!;
  return family === 4 ? (Number(firstPart) & 0xf0) === 0xe0 : /^ff..$/.test(firstPart);
}

/** Checks the arguments, and joins or leaves the group. */
export function changeMembership(
  socket: Socket,
  action: "join" | "leave",
  group: unknown,
  opts: GroupOptions | undefined,
): void {
  const argumentError = (name: string, value: unknown, required: string): TypeError =>
    new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required ${required}`);
  const groupAddress = parseNumeric(group);
  if (groupAddress === undefined || !isGroup(groupAddress)) {
    throw argumentError("group", group, "a multicast address: 224.0.0.0 to 239.255.255.255, or ff00::/8");
  }
  // A likely mistake: the interface in place of the options.
  if (typeof opts === "string" || typeof opts === "number") {
    const form = `${action}(group, { interface: ${quote(opts)} })`;
    throw new TypeError(`Cannot ${action}: options are ${quote(opts)}, required an object: ${form}`);
  }
  checkOptions(opts, action);
  if (opts !== undefined) checkNames(opts, ["interface", "source"], action);
  const { interface: givenInterface, source } = opts ?? {};
  const sourceAddress = source === undefined ? undefined : parseNumeric(source);
  const { family } = groupAddress;
  const isHostOfFamily = sourceAddress !== undefined && sourceAddress.family === family && !isGroup(sourceAddress);
  if (source !== undefined && !isHostOfFamily) {
    throw argumentError("source", source, `a numeric address of one host, of IPv${family} as the group`);
  }
  if (family === 6 && socket.family === AF_INET) {
    throw argumentError("group", group, "one of IPv4, because the socket is of IPv4");
  }
  const isOpenIPv6 = socket.family !== AF_INET && !socket.closed;
  if (family === 4 && isOpenIPv6 && socket.getsockopt(IPV6_V6ONLY)) {
    throw argumentError("group", group, "one of IPv6, because the socket receives no IPv4");
  }
  const index = groupInterface(groupAddress.zone, givenInterface, group, action);
  const [groupOption, sourceOption] = MEMBERSHIP_OPTIONS[action];
  const membership = { group: groupAddress.host, interface: index };
  try {
    if (sourceAddress === undefined) socket.setsockopt(groupOption, membership);
    else socket.setsockopt(sourceOption, { ...membership, source: sourceAddress.host });
  } catch (error) {
    throw addDetails(error, groupAddress, index);
  }
}

/**
 * The index of the interface, from the option `interface` and the zone of the group. If neither is given, the index is
 * 0, and the kernel takes the interface of the route to the group.
 */
function groupInterface(zone: string | undefined, givenInterface: unknown, group: unknown, action: string): number {
  const givenIndex = givenInterface === undefined ? 0 : interfaceIndex(givenInterface, action, "interface");
  if (zone === undefined) return givenIndex;
  const index = interfaceIndex(/^\d+$/.test(zone) ? Number(zone) : zone, action, "zone");
  if (givenIndex === 0 || givenIndex === index) return index;
  throw new TypeError(
    `Cannot ${action}: interface is ${quote(givenInterface)}, required the interface of the zone, because group ` +
      `is ${quote(group)}`,
  );
}

/** Adds the group to an error of setsockopt(2). ENODEV without an interface also gets a cause. */
function addDetails(error: unknown, { family, host }: NumericAddress, index: number): unknown {
  if (!(error instanceof SocketError)) return error;
  const noRoute = error.code === "ENODEV" && index === 0;
  const reason = `no interface has a route to ${host}, required the option interface, or a route to ${
    family === 4 ? "224.0.0.0/4" : "ff00::/8"
  }`;
  return restateError(error, error.syscall, noRoute ? { address: host, cause: new Error(reason) } : { address: host });
}
