// UdpSocket.join() and leave(): the same calls for multicast groups of IPv4 and IPv6.
//
// Linux has three options for this: IP_ADD_MEMBERSHIP (ip_mreqn), IPV6_ADD_MEMBERSHIP, and MCAST_JOIN_GROUP of RFC
// 3678. The struct of MCAST_JOIN_GROUP has a sockaddr, so it works for both families. Only this option takes an
// interface index for source-specific groups of IPv4. So it is used for all groups. On an IPv6 socket that accepts
// IPv4, the option at the level of IPv4 joins an IPv4 group.

import { AF_INET, formatIPv6, parseIPv4, parseIPv6 } from "../addr/index.js";
import { checkNames, checkOptions, quote } from "../check/index.js";
import { restated, SocketError } from "../errors/index.js";
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

/** The option for a group, and the one for a source of a group. */
const OPTIONS = {
  join: [MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP],
  leave: [MCAST_LEAVE_GROUP, MCAST_LEAVE_SOURCE_GROUP],
} as const;

/** A numeric address without its zone. */
interface Numeric {
  readonly family: 4 | 6;
  readonly host: string;
  readonly zone: string | undefined;
}

function numeric(text: unknown): Numeric | undefined {
  if (typeof text !== "string") return undefined;
  if (parseIPv4(text) !== undefined) return { family: 4, host: text, zone: undefined };
  const six = parseIPv6(text);
  return six === undefined ? undefined : { family: 6, host: formatIPv6(six.bytes), zone: six.zone };
}

/** Whether the address is in 224.0.0.0/4 or in ff00::/8. */
function isGroup({ family, host }: Numeric): boolean {
  const first = host.split(/[.:]/, 1)[0]!;
  return family === 4 ? (Number(first) & 0xf0) === 0xe0 : /^ff..$/.test(first);
}

/** Joins or leaves a group, after all checks. */
export function changeMembership(
  socket: Socket,
  action: "join" | "leave",
  group: unknown,
  opts: GroupOptions | undefined,
): void {
  const refused = (name: string, value: unknown, required: string): TypeError =>
    new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required ${required}`);
  const target = numeric(group);
  if (target === undefined || !isGroup(target)) {
    throw refused("group", group, "a multicast address: 224.0.0.0 to 239.255.255.255, or ff00::/8");
  }
  if (typeof opts === "string" || typeof opts === "number") {
    const form = `${action}(group, { interface: ${quote(opts)} })`;
    throw new TypeError(`Cannot ${action}: options are ${quote(opts)}, required an object: ${form}`);
  }
  checkOptions(opts, action);
  if (opts !== undefined) checkNames(opts, ["interface", "source"], action);
  const { interface: chosen, source } = opts ?? {};
  const sender = source === undefined ? undefined : numeric(source);
  if (source !== undefined && (sender === undefined || sender.family !== target.family || isGroup(sender))) {
    throw refused("source", source, `a numeric address of one host, of IPv${target.family} as the group`);
  }
  if (target.family === 6 && socket.family === AF_INET) {
    throw refused("group", group, "one of IPv4, because the socket is of IPv4");
  }
  if (target.family === 4 && socket.family !== AF_INET && !socket.closed && socket.getsockopt(IPV6_V6ONLY)) {
    throw refused("group", group, "one of IPv6, because the socket receives no IPv4");
  }
  const index = indexOf(target.zone, chosen, group, action);
  const [plain, ofSource] = OPTIONS[action];
  const membership = { group: target.host, interface: index };
  try {
    if (sender === undefined) socket.setsockopt(plain, membership);
    else socket.setsockopt(ofSource, { ...membership, source: sender.host });
  } catch (error) {
    throw explained(error, target, index);
  }
}

/** The index of the interface; 0 lets the kernel look for a route. */
function indexOf(zone: string | undefined, chosen: unknown, group: unknown, action: string): number {
  const named = chosen === undefined ? 0 : interfaceIndex(chosen, action, "interface");
  if (zone === undefined) return named;
  const index = interfaceIndex(/^\d+$/.test(zone) ? Number(zone) : zone, action, "zone");
  if (named === 0 || named === index) return index;
  throw new TypeError(
    `Cannot ${action}: interface is ${quote(chosen)}, required the interface of the zone, because group is ${quote(group)}`,
  );
}

/** The error of setsockopt(2) with the group as its address, and with a reason if the errno is not clear. */
function explained(error: unknown, { family, host }: Numeric, index: number): unknown {
  if (!(error instanceof SocketError)) return error;
  const noRoute = error.code === "ENODEV" && index === 0;
  const reason = `no interface has a route to ${host}, required the option interface, or a route to ${
    family === 4 ? "224.0.0.0/4" : "ff00::/8"
  }`;
  return restated(error, error.syscall, noRoute ? { address: host, cause: new Error(reason) } : { address: host });
}
