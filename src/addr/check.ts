// The checks that each part of an address has to pass, and the errors of those that fail. They run before any call to
// the kernel: a wrong type or form is a TypeError, a number or a length outside its range a RangeError.

import { isUint8Array } from "node:util/types";

import { HostPort, Inet6Address, InetAddress, UnixAddress } from "./address.js";
import { isIPv4 } from "./ipv4Text.js";
import { formatIPv6, isZone, parseIPv6, zoneIndex } from "./ipv6Text.js";
import { quote } from "../check/index.js";
import { nameBytes, nameText, utf8Length } from "./utf8.js";

/** What is being read, for the messages: all of the value, of which a check sees one part. */
export interface Subject {
  readonly kind: "address" | "endpoint";
  readonly value: unknown;
}

/** Most bytes of a path or of an abstract name: `sun_path` has 108, one of them a NUL; unix(7). */
const PATH_BYTES = 107;
/** Most bytes of a host's name: RFC 1035, section 2.3.4, without the length bytes at both ends. */
export const MAX_HOST_BYTES = 253;
/** Traffic class and flow label, the part of `sin6_flowinfo` that goes on the wire; RFC 8200, section 3. */
const FLOWINFO_MAX = 0x0fff_ffff;
const U32_MAX = 0xffff_ffff;

// The rule of the WHATWG URL standard ("ends in a number"), which covers all that inet_aton(3) would take.
const NUMERIC = /(?:^|\.)(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?$/;
// No host name has these; most of them mean that a URL, or a part of one, was passed.
const NOT_IN_NAMES = /[\s\p{Cc}#%/:<>?@[\\\]^|*]/u;
const EMPTY_LABEL = /^\.|\.\./;
const OTHER_DOTS = /[\u3002\uff0e\uff61]/g;
const DECIMAL = /^(?:0|[1-9][0-9]*)$/;

/** The error for a wrong type or form. */
export function refuse(subject: Subject, reason: string): TypeError {
  return new TypeError(message(subject, reason));
}

/** The error for a number or a length that is out of range. */
export function outOfRange(subject: Subject, reason: string): RangeError {
  return new RangeError(message(subject, reason));
}

function message({ kind, value }: Subject, reason: string): string {
  const quoted = quote(value);
  return typeof value === "string"
    ? `Cannot parse ${kind} ${quoted}: ${reason}`
    : `Cannot use ${quoted} as an ${kind}: ${reason}`;
}

/** An integer from 0 to `max`; `name` is what the message calls it. */
export function checkInteger(subject: Subject, name: string, value: unknown, max: number): number {
  if (typeof value !== "number") {
    throw refuse(subject, `${name} is ${quote(value)}, required a number from 0 to ${max}`);
  }
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw outOfRange(subject, `${name} is ${quote(value)}, required an integer from 0 to ${max}`);
  }
  // Never -0, which would print as "0" and compare unequal to it in a deep comparison.
  return value + 0;
}

/** A decimal number from 0 to `max` as part of a text; no sign, no leading zeros. */
export function readInteger(subject: Subject, name: string, text: string, max: number): number {
  if (text === "") throw refuse(subject, `${name} is missing, required a number from 0 to ${max}`);
  if (!DECIMAL.test(text)) {
    throw refuse(subject, `${name} is ${quote(text)}, required a decimal number without sign and leading zeros`);
  }
  const value = Number(text);
  if (value > max) throw outOfRange(subject, `${name} is ${quote(text)}, required a number from 0 to ${max}`);
  return value;
}

/** A port of TCP or UDP. */
export function checkPort(subject: Subject, port: unknown): number {
  return checkInteger(subject, "port", port, 65535);
}

/** An unsigned number of 32 bits. */
export function checkU32(subject: Subject, name: string, value: unknown): number {
  return checkInteger(subject, name, value, U32_MAX);
}

/** A path, an abstract name (from "\0" on) or none (empty), as `sun_path` can hold it: a string, or its bytes. */
export function checkUnix(subject: Subject, given: unknown): UnixAddress {
  if (typeof given !== "string" && !isUint8Array(given)) {
    throw refuse(subject, `path is ${quote(given)}, required a string or a Uint8Array`);
  }
  const path = typeof given === "string" ? given : nameText(given);
  const abstract = path.startsWith("\0");
  const name = abstract ? path.slice(1) : path;
  const what = abstract ? "abstract name" : "path";
  if (!abstract && path.includes("\0")) {
    throw refuse(subject, `path has a NUL character at ${path.indexOf("\0")}, which would end it in the kernel`);
  }
  const text = utf8Length(name);
  const bytes = text < 0 ? nameBytes(name)?.length : text;
  if (bytes === undefined) {
    throw refuse(subject, `${what} has a lone surrogate that stands for no byte, required text that UTF-8 can hold`);
  }
  if (bytes > PATH_BYTES) {
    throw outOfRange(subject, `${what} has ${bytes} bytes, required at most ${PATH_BYTES} in UTF-8`);
  }
  return new UnixAddress(path);
}

/**
 * A host, a port and what IPv6 adds to them. A literal is read strictly; what looks like a number and is no literal is
 * refused, so that the resolver, which would take it for another address, never sees it.
 */
export function checkHost(
  subject: Subject,
  host: unknown,
  port: unknown,
  flowinfo: unknown = 0,
  scopeid: unknown = 0,
  zone?: unknown,
): InetAddress | Inet6Address | HostPort {
  if (typeof host !== "string") throw refuse(subject, `host is ${quote(host)}, required a string`);
  const portNumber = checkPort(subject, port);
  const flow = checkInteger(subject, "flowinfo", flowinfo, FLOWINFO_MAX);
  const scope = checkU32(subject, "scopeid", scopeid);
  if (host.includes(":")) return checkIPv6(subject, host, portNumber, flow, scope, zone);
  if (zone !== undefined) throw refuse(subject, `zone is ${quote(zone)}, which only an IPv6 address as host can have`);
  if (isIPv4(host)) {
    if (flow !== 0 || scope !== 0) {
      throw refuse(subject, `host ${quote(host)} is an IPv4 address, required no flowinfo and no scopeid`);
    }
    return new InetAddress(host, portNumber);
  }
  checkName(subject, host);
  return new HostPort(host, portNumber, flow, scope);
}

function checkIPv6(
  subject: Subject,
  host: string,
  port: number,
  flowinfo: number,
  scopeid: number,
  zone: unknown,
): Inet6Address | HostPort {
  if (host.startsWith("[")) {
    throw refuse(subject, `host is ${quote(host)}, required an IPv6 address without brackets here`);
  }
  const parsed = parseIPv6(host);
  if (parsed === undefined) {
    throw refuse(subject, `host ${quote(host)} is not an IPv6 address, required one such as "::1" or "fe80::1%eth0"`);
  }
  let chosen = parsed.zone;
  if (zone !== undefined) {
    if (typeof zone !== "string" || !isZone(zone)) {
      throw refuse(subject, `zone is ${quote(zone)}, required the name or the index of an interface`);
    }
    if (chosen !== undefined && chosen !== zone) {
      throw refuse(subject, `host ${quote(host)} and zone ${quote(zone)} name different zones, required one`);
    }
    chosen = zone;
  }
  const text = formatIPv6(parsed.bytes);
  if (chosen === undefined) return new Inet6Address(text, port, flowinfo, scopeid);
  const index = zoneIndex(chosen);
  if (scopeid !== 0 && scopeid !== index) {
    throw refuse(subject, `zone ${quote(chosen)} and scopeid ${scopeid} do not agree, required one of them`);
  }
  return index === undefined
    ? new HostPort(text, port, flowinfo, 0, chosen)
    : new Inet6Address(text, port, flowinfo, index);
}

function checkName(subject: Subject, host: string): void {
  const bad = NOT_IN_NAMES.exec(host);
  if (bad !== null) {
    throw refuse(subject, `host ${quote(host)} has ${quote(bad[0])} at ${bad.index}, which no host name has`);
  }
  const bytes = utf8Length(host);
  if (bytes < 0) throw refuse(subject, `host ${quote(host)} has a lone surrogate, required text that UTF-8 can hold`);
  if (bytes > MAX_HOST_BYTES) {
    throw outOfRange(subject, `host has ${bytes} bytes, required at most ${MAX_HOST_BYTES} in UTF-8`);
  }
  if (EMPTY_LABEL.test(host)) throw refuse(subject, `host ${quote(host)} has nothing before one of its dots`);
  // A resolver that knows international names would read full-width digits and dots as the plain ones.
  const plain = bytes === host.length ? host : host.normalize("NFKC").replace(OTHER_DOTS, ".");
  if (NUMERIC.test(plain)) {
    throw refuse(
      subject,
      `host ${quote(host)} looks like a number but is not an IPv4 address, ` +
        "required four decimal numbers from 0 to 255 without leading zeros",
    );
  }
}
