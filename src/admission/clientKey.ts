// The key under which the connections of a client are counted, and lists of addresses.
//
// One host has a whole /64 of IPv6 addresses (RFC 4291, section 2.5.1; RFC 6177). If full addresses were counted, a
// host could exceed each limit by using many of them. So IPv6 clients are counted by their /64. An IPv4 client of an
// IPv6 socket has a mapped address (RFC 4291, section 2.5.5.2), and is counted as IPv4.

import type { BlockList } from "node:net";
import { type Address, Inet6Address, InetAddress, parseIPv6 } from "../addr/index.js";
import { net } from "../builtins.js";
import { quote } from "../check/index.js";

/** Networks: CIDR blocks and single addresses as text, or a `net.BlockList`. */
export type AddressList = readonly string[] | BlockList;

const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** The host of an internet address. A mapped address becomes IPv4. Undefined for addresses of other families. */
function inetHost(address: Address | undefined): { host: string; family: "ipv4" | "ipv6" } | undefined {
  if (address instanceof InetAddress) return { host: address.host, family: "ipv4" };
  if (!(address instanceof Inet6Address)) return undefined;
  const mapped = MAPPED_IPV4.exec(address.host)?.[1];
  return mapped === undefined ? { host: address.host, family: "ipv6" } : { host: mapped, family: "ipv4" };
}

/**
 * The key under which a client is counted: its IPv4 address, or the /64 of its IPv6 address. Undefined for a
 * client without an internet address, which is not counted.
 */
export function clientKey(address: Address | undefined): string | undefined {
  const inet = inetHost(address);
  if (inet === undefined || inet.family === "ipv4") return inet?.host;
  const bytes = parseIPv6(inet.host)?.bytes;
  return bytes === undefined ? inet.host : Buffer.from(bytes.subarray(0, 8)).toString("hex");
}

/** Whether a list contains an address. An address of a UNIX socket or of vsock is in no list. */
export function isListed(list: BlockList, address: Address | undefined): boolean {
  const inet = inetHost(address);
  if (inet === undefined) return false;
  if (list.check(inet.host, inet.family)) return true;
  // A `net.BlockList` of the program may have networks of mapped addresses.
  return inet.family === "ipv4" && list.check(`::ffff:${inet.host}`, "ipv6");
}

/** Checks a list of addresses, and converts it to a `net.BlockList`. Undefined stays undefined. */
export function checkAddressList(value: unknown, action: string, name: string): BlockList | undefined {
  if (value === undefined) return undefined;
  const { BlockList: List, isIP } = net();
  if (value instanceof List) return value;
  if (!Array.isArray(value)) {
    throw new TypeError(
      `Cannot ${action}: ${name} is ${quote(value)}, required an array of networks or a net.BlockList`,
    );
  }
  const list = new List();
  for (const network of value as readonly unknown[]) {
    const parts = typeof network === "string" ? /^([^/]+)(?:\/(\d{1,3}))?$/.exec(network) : null;
    const [, hostText = "", lengthText] = parts ?? [];
    const mapped = MAPPED_IPV4.exec(hostText)?.[1];
    const host = mapped ?? hostText;
    const version = isIP(host);
    const maxLength = version === 4 ? 32 : 128;
    // The first 96 bits of a mapped network are fixed. The last 32 bits are those of the IPv4 address.
    const fixedBits = mapped === undefined ? 0 : 96;
    const prefixLength = lengthText === undefined ? maxLength : Number(lengthText) - fixedBits;
    const isHost = version !== 0 && !host.includes("%");
    if (!isHost || prefixLength < 0 || prefixLength > maxLength) {
      throw new TypeError(
        `Cannot ${action}: ${name} has ${quote(network)}, required a network such as "10.0.0.0/8" or "2001:db8::/32"`,
      );
    }
    list.addSubnet(host, prefixLength, version === 4 ? "ipv4" : "ipv6");
  }
  return list;
}
