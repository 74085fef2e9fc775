// Checks the parts of an address, before any system call. A wrong type or form is a TypeError. A number or a length out
// of its range is a RangeError.

import { isUint8Array } from "node:util/types";

import { HostPort, Inet6Address, InetAddress, UnixAddress } from "./address.js";
import { isIPv4 } from "./ipv4Text.js";
import { formatIPv6, isZone, parseIPv6, zoneIndex } from "./ipv6Text.js";
import { quote } from "../check/index.js";
import { nameBytes, nameText, utf8Length } from "./utf8.js";

/** The whole value that is parsed. Each check gets only a part of it, and quotes the whole value in its error. */
export interface Subject {
  readonly kind: "address" | "endpoint";
  readonly value: unknown;
}

/** Maximum number of bytes of a path or of an abstract name: `sun_path` has 108, one of them a NUL; unix(7). */
const MAX_PATH_BYTES = 107;
/** Maximum number of bytes of a host's name: RFC 1035, section 2.3.4, without the length bytes at both ends. */
export const MAX_HOST_BYTES = 253;
/** Traffic class and flow label, the part of `sin6_flowinfo` that goes on the wire; RFC 8200, section 3. */
const FLOWINFO_MAX = 0x0fff_ffff;
const U32_MAX = 0xffff_ffff;

// A host whose last label is a number: the rule "ends in a number" of the WHATWG URL standard. It covers every form
// that inet_aton(3) accepts.
const ENDS_IN_NUMBER = /(?:^|\.)(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?$/;
// No host name has these characters. With most of them, a URL or a part of one was passed by mistake.
const NOT_IN_NAMES = /[\s\p{Cc}#%/:<>?@[\\\]^|*]/u;
const EMPTY_LABEL = /^\.|\.\./;
/** The dots of other scripts, which international names may have instead of ".". */
const OTHER_DOTS = /[\u3002\uff0e\uff61]/g;
const DECIMAL = /^(?:0|[1-9][0-9]*)$/;

/** Makes the error for a wrong type or form. */
export function refusal(subject: Subject, reason: string): TypeError {
  return new TypeError(errorText(subject, reason));
}

/** Makes the error for a number or a length that is out of range. */
export function rangeError(subject: Subject, reason: string): RangeError {
  return new RangeError(errorText(subject, reason));
}

function errorText({ kind, value }: Subject, reason: string): string {
  const quoted = quote(value);
  return typeof value === "string"
    ? `Cannot parse ${kind} ${quoted}: ${reason}`
    : `Cannot use ${quoted} as an ${kind}: ${reason}`;
}

/** Returns `value` if it is an integer from 0 to `max`. `name` is its name in the message. */
export function checkInteger(subject: Subject, name: string, value: unknown, max: number): number {
  if (typeof value !== "number") {
    throw refusal(subject, `${name} is ${quote(value)}, required a number from 0 to ${max}`);
  }
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw rangeError(subject, `${name} is ${quote(value)}, required an integer from 0 to ${max}`);
  }
  // Adding 0 turns -0 into 0. A deep comparison finds -0 and 0 different, although both print as "0".
  return value + 0;
}

/** Reads a decimal number from 0 to `max`, without sign and leading zeros. */
export function readInteger(subject: Subject, name: string, text: string, max: number): number {
  if (text === "") throw refusal(subject, `${name} is missing, required a number from 0 to ${max}`);
  if (!DECIMAL.test(text)) {
    throw refusal(subject, `${name} is ${quote(text)}, required a decimal number without sign and leading zeros`);
  }
  const value = Number(text);
  if (value > max) throw rangeError(subject, `${name} is ${quote(text)}, required a number from 0 to ${max}`);
  return value;
}

/** Returns `port` if it is a port of TCP or UDP. */
export function checkPort(subject: Subject, port: unknown): number {
  return checkInteger(subject, "port", port, 65535);
}

/** Returns `value` if it is an unsigned number of 32 bits. */
export function checkU32(subject: Subject, name: string, value: unknown): number {
  return checkInteger(subject, name, value, U32_MAX);
}

/**
 * Makes an address of a path, of "\0" and an abstract name, or of an empty path. `given` is a string, or its bytes,
 * and must fit into `sun_path`.
 */
export function checkUnix(subject: Subject, given: unknown): UnixAddress {
  if (typeof given !== "string" && !isUint8Array(given)) {
    throw refusal(subject, `path is ${quote(given)}, required a string or a Uint8Array`);
  }
  const path = typeof given === "string" ? given : nameText(given);
  const isAbstract = path.startsWith("\0");
  const name = isAbstract ? path.slice(1) : path;
  const part = isAbstract ? "abstract name" : "path";
  if (!isAbstract && path.includes("\0")) {
    throw refusal(subject, `path has a NUL at ${path.indexOf("\0")}, required a path without NUL`);
  }
  // utf8Length() is negative if the name has a lone surrogate. nameBytes() is slower, but accepts U+DC80 to U+DCFF.
  const utf8Bytes = utf8Length(name);
  const byteCount = utf8Bytes < 0 ? nameBytes(name)?.length : utf8Bytes;
  if (byteCount === undefined) {
    throw refusal(
      subject,
      `${part} has a lone surrogate, required none but U+DC80 to U+DCFF (for bytes that are not UTF-8)`,
    );
  }
  if (byteCount > MAX_PATH_BYTES) {
    throw rangeError(subject, `${part} has ${byteCount} bytes, required at most ${MAX_PATH_BYTES} in UTF-8`);
  }
  return new UnixAddress(path);
}

/**
 * Makes an address of a host and a port, and for IPv6 also of a flow info, a scope id and a zone. A host that looks
 * like a number must be a dotted quad, because the resolver would read another form, such as `0177.1`, as an address
 * that the user may not expect.
 */
export function checkHost(
  subject: Subject,
  host: unknown,
  port: unknown,
  flowinfo: unknown = 0,
  scopeid: unknown = 0,
  zone?: unknown,
): InetAddress | Inet6Address | HostPort {
  if (typeof host !== "string") throw refusal(subject, `host is ${quote(host)}, required a string`);
  const portNumber = checkPort(subject, port);
  const flow = checkInteger(subject, "flowinfo", flowinfo, FLOWINFO_MAX);
  if (typeof scopeid === "string") return checkScopeName(subject, host, port, flow, scopeid, zone);
  const scope = checkU32(subject, "scopeid", scopeid);
  if (host.includes(":")) return checkIPv6(subject, host, portNumber, flow, scope, zone);
  if (zone !== undefined)
    throw refusal(subject, `zone is ${quote(zone)}, required none unless host is an IPv6 address`);
  if (isIPv4(host)) {
    if (flow !== 0 || scope !== 0) {
      throw refusal(subject, `host is ${quote(host)}, an IPv4 address, required no flowinfo and no scopeid`);
    }
    return new InetAddress(host, portNumber);
  }
  checkHostName(subject, host);
  return new HostPort(host, portNumber, flow, scope);
}

/** `checkHost()` for a scope id that is a string: the name or the index of an interface, as a zone. */
function checkScopeName(
  subject: Subject,
  host: string,
  port: unknown,
  flowinfo: number,
  scopeid: string,
  zone: unknown,
): InetAddress | Inet6Address | HostPort {
  if (!isZone(scopeid)) {
    throw refusal(subject, `scopeid is ${quote(scopeid)}, required a number, or the name of an interface`);
  }
  if (!host.includes(":")) {
    throw refusal(subject, `scopeid is ${quote(scopeid)}, required a number unless host is an IPv6 address`);
  }
  // The scope id 0 is no interface, so every zone agrees with it.
  if (scopeid === "0") return checkHost(subject, host, port, flowinfo, 0, zone);
  if (typeof zone === "string" && isZone(zone) && zone !== scopeid) {
    throw refusal(subject, `zone ${quote(zone)} and scopeid ${quote(scopeid)} do not agree, required one of them`);
  }
  return checkHost(subject, host, port, flowinfo, 0, zone === undefined ? scopeid : zone);
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
    throw refusal(subject, `host is ${quote(host)}, required an IPv6 address without brackets here`);
  }
  const parsed = parseIPv6(host);
  if (parsed === undefined) {
    throw refusal(subject, `host is ${quote(host)}, required an IPv6 address such as "::1" or "fe80::1%eth0"`);
  }
  /** The zone after "%" in the host, or else the argument `zone`. */
  let chosenZone = parsed.zone;
  if (zone !== undefined) {
    if (typeof zone !== "string" || !isZone(zone)) {
      throw refusal(subject, `zone is ${quote(zone)}, required the name or the index of an interface`);
    }
    if (chosenZone !== undefined && chosenZone !== zone) {
      throw refusal(subject, `host ${quote(host)} and zone ${quote(zone)} name different zones, required one`);
    }
    chosenZone = zone;
  }
  const text = formatIPv6(parsed.bytes);
  if (chosenZone === undefined) return new Inet6Address(text, port, flowinfo, scopeid);
  // Undefined if the zone is the name of an interface.
  const index = zoneIndex(chosenZone);
  if (scopeid !== 0 && scopeid !== index) {
    throw refusal(subject, `zone ${quote(chosenZone)} and scopeid ${scopeid} do not agree, required one of them`);
  }
  return index === undefined
    ? new HostPort(text, port, flowinfo, 0, chosenZone)
    : new Inet6Address(text, port, flowinfo, index);
}

function checkHostName(subject: Subject, host: string): void {
  const forbidden = NOT_IN_NAMES.exec(host);
  if (forbidden !== null) {
    throw refusal(
      subject,
      `host is ${quote(host)}, required a host name; ${quote(forbidden[0])} at ${forbidden.index} is not allowed`,
    );
  }
  const bytes = utf8Length(host);
  if (bytes < 0) throw refusal(subject, `host is ${quote(host)}, required a string without lone surrogates`);
  if (bytes > MAX_HOST_BYTES) {
    throw rangeError(subject, `host has ${bytes} bytes, required at most ${MAX_HOST_BYTES} in UTF-8`);
  }
  if (EMPTY_LABEL.test(host))
    throw refusal(subject, `host is ${quote(host)}, required a host name without empty labels`);
  // A resolver for international names reads full-width digits and dots as ASCII. So they are converted for the test.
  const plain = bytes === host.length ? host : host.normalize("NFKC").replace(OTHER_DOTS, ".");
  if (ENDS_IN_NUMBER.test(plain)) {
    throw refusal(
      subject,
      `host is ${quote(host)}, which looks like a number, ` +
        "required four decimal numbers from 0 to 255 without leading zeros",
    );
  }
}
