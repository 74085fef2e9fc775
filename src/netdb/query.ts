// Queries to the resolver of the C library, and their errors. runQueryBlocking() makes a query on this thread.

import { domainToASCII } from "node:url";

import { MAX_HOST_BYTES } from "../addr/index.js";
import { quote } from "../check/index.js";
import { SocketError, type SocketErrorDetails } from "../errors/index.js";
import type {
  AddrinfoEntry,
  Calls,
  HostAndService,
  HostEntry,
  ResolverAnswer,
  ResolverCallback,
} from "../sys/calls.js";
import {
  EAI_ADDRFAMILY,
  EAI_AGAIN,
  EAI_BADFLAGS,
  EAI_FAIL,
  EAI_FAMILY,
  EAI_MEMORY,
  EAI_NODATA,
  EAI_NONAME,
  EAI_OVERFLOW,
  EAI_SERVICE,
  EAI_SOCKTYPE,
  EAI_SYSTEM,
} from "../sys/constants.js";
import { socketError } from "../sys/errno.js";
import { addressDetails, decodeAddress } from "../sys/sockaddr.js";

/** The names of the codes that getaddrinfo(3) and similar calls return. */
const eaiNames: ReadonlyMap<number, string> = new Map([
  [EAI_ADDRFAMILY, "EAI_ADDRFAMILY"],
  [EAI_AGAIN, "EAI_AGAIN"],
  [EAI_BADFLAGS, "EAI_BADFLAGS"],
  [EAI_FAIL, "EAI_FAIL"],
  [EAI_FAMILY, "EAI_FAMILY"],
  [EAI_MEMORY, "EAI_MEMORY"],
  [EAI_NODATA, "EAI_NODATA"],
  [EAI_NONAME, "EAI_NONAME"],
  [EAI_OVERFLOW, "EAI_OVERFLOW"],
  [EAI_SERVICE, "EAI_SERVICE"],
  [EAI_SOCKTYPE, "EAI_SOCKTYPE"],
]);

/** The error for a status of the resolver: its code is an EAI_ code, or for EAI_SYSTEM that of the positive `errno`. */
export function resolverError(query: ResolverQuery<unknown>, status: number, errno: number): SocketError {
  const { calls, syscall, details } = query;
  if (status === EAI_SYSTEM) return socketError(-errno, syscall, details);
  const text = calls.gaiStrerror(status);
  // The messages of errno values begin with a small letter too.
  const reason = text.charAt(0).toLowerCase() + text.slice(1);
  return new SocketError(eaiNames.get(status) ?? `EAI_${-status}`, status, syscall, { ...details, reason });
}

/** One call of the resolver. */
export interface ResolverQuery<T> {
  readonly calls: Calls;
  readonly syscall: string;
  /** The properties of an error that name the host or the address. */
  readonly details: SocketErrorDetails | undefined;
  /** Queries with the same key have the same result. */
  readonly key: string;
  /** Starts the call on a thread of the resolver. Returns the number of the lookup (its ticket), or -errno. */
  readonly start: (callback: ResolverCallback<T>) => number;
  /** Makes the call on this thread. */
  readonly callBlocking: () => ResolverAnswer<T> | number;
}

export function addrinfoQuery(
  calls: Calls,
  host: string | null,
  service: string | null,
  family: number,
  type: number,
  protocol: number,
  flags: number,
): ResolverQuery<readonly AddrinfoEntry[]> {
  const name = host === null ? null : asciiHost(host);
  return {
    calls,
    syscall: "getaddrinfo",
    details: hostDetails(host),
    key: JSON.stringify(["getaddrinfo", name, service, family, type, protocol, flags]),
    start: (callback) => calls.getaddrinfo(name, service, family, type, protocol, flags, callback),
    callBlocking: () => calls.getaddrinfoSync(name, service, family, type, protocol, flags),
  };
}

/** @param address the bytes of a sockaddr */
export function nameinfoQuery(calls: Calls, address: Uint8Array, flags: number): ResolverQuery<HostAndService> {
  return {
    calls,
    syscall: "getnameinfo",
    details: addressDetails(decodeAddress(address)),
    key: JSON.stringify(["getnameinfo", [...address], flags]),
    start: (callback) => calls.getnameinfo(address, flags, callback),
    callBlocking: () => calls.getnameinfoSync(address, flags),
  };
}

export function hostByNameQuery(calls: Calls, host: string, family: number): ResolverQuery<HostEntry> {
  const name = asciiHost(host);
  return {
    calls,
    syscall: "gethostbyname",
    details: hostDetails(host),
    key: JSON.stringify(["gethostbyname", name, family]),
    start: (callback) => calls.gethostbyname(name, family, callback),
    callBlocking: () => calls.gethostbynameSync(name, family),
  };
}

/** `bytes` has an IPv4 or IPv6 address, and `text` is the same address as text. */
export function hostByAddrQuery(
  calls: Calls,
  bytes: Uint8Array,
  family: number,
  text: string,
): ResolverQuery<HostEntry> {
  return {
    calls,
    syscall: "gethostbyaddr",
    details: hostDetails(text),
    key: JSON.stringify(["gethostbyaddr", [...bytes], family]),
    start: (callback) => calls.gethostbyaddr(bytes, family, callback),
    callBlocking: () => calls.gethostbyaddrSync(bytes, family),
  };
}

/** Error details with the host as `address`; undefined without a host or for an empty name. */
export function hostDetails(host: string | null | undefined): SocketErrorDetails | undefined {
  return host === null || host === undefined || host === "" ? undefined : { address: host };
}

/** The ASCII form of an international host name (UTS 46). An IPv6 address and its zone are returned unchanged. */
function asciiHost(host: string): string {
  if (/^[\0-\x7f]*$/.test(host) || host.includes(":")) return host;
  const ascii = domainToASCII(host);
  if (ascii === "") throw new TypeError(`Cannot look up a host: name is ${quote(host)}, required a host name`);
  if (ascii.length > MAX_HOST_BYTES) {
    throw new RangeError(
      `Cannot look up a host: name has ${ascii.length} bytes in ASCII, required at most ${MAX_HOST_BYTES}`,
    );
  }
  return ascii;
}

/** Makes a query on this thread. The thread is blocked until the C library returns. */
export function runQueryBlocking<T>(query: ResolverQuery<T>): T {
  const result = query.callBlocking();
  if (typeof result === "number") throw socketError(result, query.syscall);
  const [status, errno, answer] = result;
  if (status === 0 && answer !== null) return answer;
  throw resolverError(query, status, errno);
}
