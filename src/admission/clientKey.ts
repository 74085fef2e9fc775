// The key under which the connections of a client are counted, and lists of addresses.
//
// One host has a whole /64 of IPv6 addresses (RFC 4291, section 2.5.1; RFC 6177), so a count by full address would
// limit nothing. An IPv4 client of an IPv6 socket has a mapped address (RFC 4291, section 2.5.5.2), and is counted as
// IPv4.

import type { BlockList } from "node:net";
import { type Address, Inet6Address, InetAddress, parseIPv6 } from "../addr/index.js";
import { net } from "../builtins.js";
import { quote } from "../check/index.js";

/** Networks: CIDR blocks and single addresses as text, or a `net.BlockList`. */
export type AddressList = readonly string[] | BlockList;

const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** The host of an internet address, with a mapped address as IPv4; undefined for other addresses. */
function inetHost(address: Address | undefined): { host: string; family: "ipv4" | "ipv6" } | undefined {
  if (address instanceof InetAddress) return { host: address.host, family: "ipv4" };
  if (!(address instanceof Inet6Address)) return undefined;
  const mapped = MAPPED_IPV4.exec(address.host)?.[1];
  return mapped === undefined ? { host: address.host, family: "ipv6" } : { host: mapped, family: "ipv4" };
}

/**
 * The key under which a client is counted: its IPv4 address, or the /64 of its IPv6 address. Undefined if the client
 * is not counted.
 */
export function clientKey(address: Address | undefined): string | undefined {
  const found = inetHost(address);
  if (found === undefined || found.family === "ipv4") return found?.host;
  const bytes = parseIPv6(found.host)?.bytes;
  return bytes === undefined ? found.host : Buffer.from(bytes.subarray(0, 8)).toString("hex");
}

/** Whether a list contains an address. An address of a UNIX socket or of vsock is in no list. */
export function isListed(list: BlockList, address: Address | undefined): boolean {
  const found = inetHost(address);
  if (found === undefined) return false;
  if (list.check(found.host, found.family)) return true;
  // The network in a `net.BlockList` may be a mapped one.
  return found.family === "ipv4" && list.check(`::ffff:${found.host}`, "ipv6");
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
  for (const entry of value as readonly unknown[]) {
    const [, given = "", length] = (typeof entry === "string" ? /^([^/]+)(?:\/(\d{1,3}))?$/.exec(entry) : null) ?? [];
    const mapped = MAPPED_IPV4.exec(given)?.[1];
    const host = mapped ?? given;
    const version = isIP(host);
    const widest = version === 4 ? 32 : 128;
    // The first 96 bits of a mapped network are fixed. The last 32 bits are those of the IPv4 address.
    const prefix = length === undefined ? widest : Number(length) - (mapped === undefined ? 0 : 96);
    if (version === 0 || host.includes("%") || prefix < 0 || prefix > widest) {
      throw new TypeError(
        `Cannot ${action}: ${name} has ${quote(entry)}, required a network such as "10.0.0.0/8" or "2001:db8::/32"`,
      );
    }
    list.addSubnet(host, prefix, version === 4 ? "ipv4" : "ipv6");
  }
  return list;
}
