// getaddrinfo(3) and getnameinfo(3).

import {
  type Address,
  type AddressLike,
  AF_UNSPEC,
  HostPort,
  Inet6Address,
  parseIPv6,
  toAddress,
} from "../addr/index.js";
import { checkOptions, int32, integer, quote } from "../check/index.js";
import { type AddrinfoEntry, calls, type Calls } from "../sys/calls.js";
import { indexOfName } from "../sys/interfaceIndex.js";
import { awaitLookup, type LookupOptions } from "./awaitLookup.js";
import { type Lookup, resultOf } from "./lookup.js";
import { addrinfoQuery, nameinfoQuery } from "./query.js";
import { decodeAddress, encodeAddress } from "../sys/sockaddr.js";
import { checkHostText, checkPlainText } from "./textArguments.js";

/** The `hints` of {@link getaddrinfo}. They limit its results. */
export interface AddrInfoHints {
  /** `AF_INET` or `AF_INET6`; `AF_UNSPEC` (the default) for both. */
  readonly family?: number | undefined;
  /** `SOCK_STREAM`, `SOCK_DGRAM` or another type; 0 (the default) gives a result for each type. */
  readonly type?: number | undefined;
  /** `IPPROTO_TCP` or another protocol; 0 (the default) for any. */
  readonly protocol?: number | undefined;
  /** `AI_` flags. */
  readonly flags?: number | undefined;
}

/** One result of {@link getaddrinfo}: arguments for `new Socket()`, and for `connect()` or `bind()`. */
export interface AddrInfo {
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
  /** With `AI_CANONNAME`, the first result has the official name of the host. Otherwise `""`. */
  readonly canonname: string;
  readonly address: Address;
}

/**
 * The addresses of a host and a service: getaddrinfo(3) on another thread.
 *
 * `host` may have every form that the C library accepts, also short forms such as `127.1` (inet_aton(3)); a socket
 * refuses these. An international name is looked up in its ASCII form (UTS 46).
 *
 * @param host a host name, an address, or null for this machine: its loopback addresses, or with `AI_PASSIVE` the
 *   wildcard addresses
 * @param service a name such as `"http"`, a port, or null for port 0; host and service can't both be null
 * @returns the addresses in the order in which they should be tried (RFC 6724)
 * @throws TypeError or RangeError for a host or service with a NUL in it, a host of more than 253 bytes, a port over
 *   65535
 * @throws SocketError `EAI_NONAME`, `EAI_SERVICE`, `EAI_AGAIN`, `EAI_FAIL`, `EAI_FAMILY`, `EAI_SOCKTYPE`,
 *   `EAI_BADFLAGS`, `EAI_ADDRFAMILY`, `EAI_NODATA`; `ETIMEDOUT`
 * @see getaddrinfo(3), RFC 3493 section 6.1
 * @example
 * ```ts
 * import { AF_INET, getaddrinfo, SOCK_STREAM } from "berkeley";
 *
 * const [first] = await getaddrinfo("localhost", 8080, { family: AF_INET, type: SOCK_STREAM });
 * console.log(String(first?.address)); // prints: 127.0.0.1:8080
 * ```
 */
export async function getaddrinfo(
  host: string | null,
  service: string | number | null,
  hints?: AddrInfoHints & LookupOptions,
): Promise<AddrInfo[]> {
  return awaitLookup(addrinfoLookup(calls, host, service, hints), hints, "getaddrinfo", host, HINT_NAMES);
}

/**
 * The host name and the service name of an address: getnameinfo(3) on another thread. If there is no name, the
 * result contains the numeric form. With `NI_NAMEREQD` a host without a name is an error.
 *
 * @param address a numeric address; a name is refused
 * @param flags `NI_` flags
 * @returns `[host, service]`
 * @throws SocketError `EAI_NONAME`, `EAI_AGAIN`, `EAI_FAIL`, `EAI_FAMILY`, `EAI_BADFLAGS`; `ETIMEDOUT`
 * @see getnameinfo(3), RFC 3493 section 6.2
 * @example
 * ```ts
 * import { getnameinfo, NI_NUMERICHOST } from "berkeley";
 *
 * console.log(await getnameinfo("127.0.0.1:80", NI_NUMERICHOST)); // prints: [ '127.0.0.1', 'http' ]
 * ```
 */
export async function getnameinfo(
  address: AddressLike,
  flags: number = 0,
  opts?: LookupOptions,
): Promise<[host: string, service: string]> {
  return awaitLookup(nameinfoLookup(calls, address, flags), opts, "getnameinfo");
}

const HINT_NAMES: readonly string[] = ["family", "type", "protocol", "flags", "timeout", "signal"];

/** The lookup of `getaddrinfo`. */
export function* addrinfoLookup(
  table: Calls,
  host: unknown,
  service: unknown,
  hints: AddrInfoHints | undefined,
): Lookup<AddrInfo[]> {
  const action = "getaddrinfo";
  checkOptions(hints, action, HINT_NAMES);
  const query = addrinfoQuery(
    table,
    host === null || host === undefined ? null : checkHostText(host, action),
    serviceText(service, action),
    int32(hints?.family ?? AF_UNSPEC, action, "family"),
    int32(hints?.type ?? 0, action, "type"),
    int32(hints?.protocol ?? 0, action, "protocol"),
    int32(hints?.flags ?? 0, action, "flags"),
  );
  return (yield* resultOf(query)).map(toAddrInfo);
}

function toAddrInfo([family, type, protocol, address, canonname]: AddrinfoEntry): AddrInfo {
  return { family, type, protocol, canonname: canonname ?? "", address: decodeAddress(address) };
}

/**
 * Checks a service, and returns its text for the C library. The C library would use only the low 16 bits of a
 * number, so this function refuses a number that is not a port.
 */
function serviceText(service: unknown, action: string): string | null {
  if (service === null || service === undefined) return null;
  if (typeof service === "number") return String(integer(service, action, "service", 0, 65535));
  const text = checkPlainText(service, action, "service");
  if (!/^[\s+-]*[0-9]+$/.test(text)) return text;
  // The C library would accept a sign or spaces before a number.
  if (!/^[0-9]+$/.test(text)) {
    throw new TypeError(
      `Cannot ${action}: service is ${quote(text)}, required a number without sign and spaces, or a name`,
    );
  }
  if (Number(text) > 65535) {
    throw new RangeError(`Cannot ${action}: service is ${quote(text)}, required a name or a port from 0 to 65535`);
  }
  return text;
}

/** The lookup of `getnameinfo`. */
export function* nameinfoLookup(
  table: Calls,
  address: AddressLike,
  flags: unknown,
): Lookup<[host: string, service: string]> {
  const numeric = numericAddress(table, address);
  const query = nameinfoQuery(table, encodeAddress(numeric), int32(flags, "getnameinfo", "flags"));
  const [host, service] = yield* resultOf(query);
  return [host, service];
}

/** Returns a numeric address, and refuses a host name. The zone of an IPv6 address may be the name of an interface. */
function numericAddress(table: Calls, value: AddressLike): Address {
  const address = toAddress(value);
  if (!(address instanceof HostPort)) return address;
  const { host, port, flowinfo, zone } = address;
  if (zone === undefined || parseIPv6(host) === undefined) {
    throw new TypeError(`Cannot getnameinfo: host is ${quote(host)}, required a numeric address`);
  }
  const index = indexOfName(table, zone);
  return new Inet6Address(host, port, flowinfo, index);
}
