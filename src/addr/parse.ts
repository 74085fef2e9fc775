// Parses an address that a user passes: a string, a tuple as in Python, an object, or an instance of an address class.
// Every part is checked before any system call. A host that needs the resolver becomes a HostPort.

import { isUint8Array } from "node:util/types";
import {
  type Address,
  HostPort,
  Inet6Address,
  InetAddress,
  isAddress,
  NetlinkAddress,
  OpaqueAddress,
  PacketAddress,
  UnixAddress,
  VsockAddress,
} from "./address.js";
import { type Subject, checkHost, checkInteger, checkU32, checkUnix, readInteger, refusal } from "./addressParts.js";
import { AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_UNSPEC, AF_VSOCK } from "./families.js";
import { isIPv4 } from "./ipv4Text.js";
import { isIPv6, isZone, zoneIndex } from "./ipv6Text.js";
import { quote } from "../check/index.js";

/**
 * A host (a numeric address or a name) and a port. `zone`, and `scopeid` as text, are the name or the index of an
 * interface.
 */
export interface HostPortLike {
  readonly family?: number | undefined;
  readonly host: string;
  readonly port: number;
  readonly flowinfo?: number | undefined;
  readonly scopeid?: number | string | undefined;
  readonly zone?: string | undefined;
}

/** A UNIX path, `"\0"` and an abstract name, or `""` for no name: as a string ({@link UnixAddress}) or as bytes. */
export interface UnixLike {
  readonly family?: number | undefined;
  readonly path: string | Uint8Array;
}

/** A context and a port of vsock(7). */
export interface VsockLike {
  readonly family?: number | undefined;
  readonly cid: number;
  readonly port: number;
}

/** A port and groups of netlink(7). */
export interface NetlinkLike {
  readonly family?: number | undefined;
  readonly pid: number;
  readonly groups: number;
}

/**
 * A device of packet(7): the members that bind(2) needs. To send, `addr` is necessary too. Absent members are 0, or
 * empty.
 */
export interface PacketLike {
  readonly family?: number | undefined;
  readonly protocol?: number | undefined;
  /** Index or name of the interface; 0 is any. A name is looked up when the address is used. */
  readonly ifindex: number | string;
  readonly hatype?: number | undefined;
  readonly pkttype?: number | undefined;
  /** 0 to 8 bytes, or as text: `"02:00:00:00:00:09"`. */
  readonly addr?: string | Uint8Array | undefined;
}

/**
 * An address of any family: the bytes after `sa_family` in its `sockaddr`. Calls pass them to the kernel
 * unchanged.
 */
export interface OpaqueLike {
  readonly family: number;
  /** At most 126 bytes, or as text: `"0102"`. */
  readonly data: string | Uint8Array;
}

/** Every form of an address that calls accept. */
export type AddressLike =
  | string
  | Address
  | HostPort
  | HostPortLike
  | UnixLike
  | VsockLike
  | NetlinkLike
  | PacketLike
  | OpaqueLike
  | readonly [host: string, port: number]
  | readonly [host: string, port: number, flowinfo?: number, scopeid?: number | string];

const REQUIRED_FORMS =
  "required a string, [host, port], { host, port }, { path }, { cid, port }, { pid, groups }, " +
  "{ ifindex, protocol } or { family, data }";

/**
 * Reads an address from text: `127.0.0.1:8888`, `[::1]:8888`, `[fe80::1%eth0]:8888`, `localhost:8888`,
 * `unix:/run/x.sock`, `unix:@abstract`, `unix:`, `vsock:2:1024`, `netlink:0:1`. It makes no system call.
 *
 * @returns an address, or a `HostPort` when the text holds a name (of a host, or of an interface as the zone)
 * @throws TypeError that names the wrong part of the text; RangeError when a number or a length is out of range
 * @example
 * parseAddress("[::1]:8888").port; // 8888
 */
export function parseAddress(text: string): Address | HostPort {
  const subject: Subject = { kind: "address", value: text };
  if (typeof text !== "string") throw refusal(subject, "required a string");
  if (text.startsWith("unix:")) return readUnix(subject, text.slice("unix:".length));
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    const scheme = text.slice(0, text.indexOf(":"));
    throw refusal(subject, `scheme is ${quote(scheme)}, required an address without a scheme`);
  }
  if (text.startsWith("vsock:")) {
    const [cid, port] = readNumberPair(subject, text.slice("vsock:".length), "cid", "port");
    return new VsockAddress(cid, port);
  }
  if (text.startsWith("netlink:")) {
    const [pid, groups] = readNumberPair(subject, text.slice("netlink:".length), "pid", "groups");
    return new NetlinkAddress(pid, groups);
  }
  return readHostPort(subject, text);
}

/** Reads `host:port` or `[ipv6]:port`. `subject` has the whole text, which error messages quote. */
export function readHostPort(subject: Subject, text: string): InetAddress | Inet6Address | HostPort {
  let host: string;
  /** Where the host and its brackets end in the text. */
  let hostEnd: number;
  if (text.startsWith("[")) {
    hostEnd = text.indexOf("]") + 1;
    if (hostEnd === 0) throw refusal(subject, '"[" is not closed, required "]" after the IPv6 address');
    host = text.slice(1, hostEnd - 1);
    // An endpoint is a URI, in which the zone is percent-encoded. An address is no URI.
    if (subject.kind === "endpoint") host = decodeZone(subject, host);
    if (!host.includes(":")) {
      throw refusal(subject, `host is ${quote(host)}, required an IPv6 address in brackets`);
    }
    if (hostEnd < text.length && text[hostEnd] !== ":") {
      throw refusal(subject, `${quote(text.slice(hostEnd))} follows "]", required ":" and the port`);
    }
  } else {
    hostEnd = text.indexOf(":");
    if (hostEnd < 0) hostEnd = text.length;
    host = text.slice(0, hostEnd);
    if (text.includes(":", hostEnd + 1)) {
      throw refusal(
        subject,
        looksLikeIPv6(text)
          ? `host is an IPv6 address without brackets, required the form "[::1]:80"`
          : `it has more than one ":", required host:port, or [address]:port for IPv6`,
      );
    }
    if (host === "" || host === "*") {
      throw refusal(
        subject,
        'host is missing, write "0.0.0.0" or "[::]" for all interfaces, or pass ["", port] for all interfaces of the ' +
          "socket's family",
      );
    }
    if (hostEnd === text.length && host.includes("/")) {
      throw refusal(subject, `the text looks like a path, write ${quote(`unix:${text}`)}`);
    }
  }
  if (hostEnd === text.length) throw refusal(subject, 'port is missing, required ":" and a number after the host');
  return checkHost(subject, host, readInteger(subject, "port", text.slice(hostEnd + 1), 65535));
}

/**
 * Decodes the zone of a host in a URI. There the zone follows `%25`, and its characters other than letters, digits and
 * `-._~` are percent-encoded: RFC 6874, section 2. A host with a plain `%` is returned unchanged, as section 3
 * suggests.
 */
function decodeZone(subject: Subject, host: string): string {
  const percent = host.indexOf("%");
  const encodedZone = percent < 0 ? "" : host.slice(percent + "%25".length);
  if (!host.startsWith("%25", percent) || encodedZone === "") return host;
  try {
    return `${host.slice(0, percent)}%${decodeURIComponent(encodedZone)}`;
  } catch {
    throw refusal(subject, `zone is ${quote(encodedZone)}, required valid percent-encoding`);
  }
}

/** Reads the text after `unix:`. If it begins with `//`, an absolute path must follow, as in `unix:///run/x.sock`. */
export function readUnix(subject: Subject, text: string): UnixAddress {
  if (text.startsWith("@")) return checkUnix(subject, `\0${text.slice(1)}`);
  if (text.startsWith("\0")) throw refusal(subject, 'path begins with NUL, required "@" before an abstract name');
  if (!text.startsWith("//")) return checkUnix(subject, text);
  if (text[2] !== "/") {
    throw refusal(subject, `${quote(text.slice(0, 32))} has a host, required "///" before an absolute path`);
  }
  return checkUnix(subject, text.slice(2));
}

/** Reads two numbers of 32 bits with a colon between them. */
export function readNumberPair(subject: Subject, text: string, first: string, second: string): [number, number] {
  const colon = text.indexOf(":");
  if (colon < 0) throw refusal(subject, `${second} is missing, required ${first}:${second}`);
  return [
    readInteger(subject, first, text.slice(0, colon), 0xffff_ffff),
    readInteger(subject, second, text.slice(colon + 1), 0xffff_ffff),
  ];
}

/** Whether a text is an IPv6 address without brackets, alone or with a port. */
function looksLikeIPv6(text: string): boolean {
  return isIPv6(text) || isIPv6(text.slice(0, text.lastIndexOf(":")));
}

/**
 * Converts any form of an address to an address object, and checks every part. It makes no system call.
 *
 * A valid instance of an address class is returned unchanged. `["", port]` is the wildcard of the socket's family; the
 * result is a `HostPort` with an empty host.
 *
 * @returns an address, or a `HostPort` when the resolver is needed
 * @throws TypeError for a wrong type or form, RangeError for a number or a length out of range; both quote the value
 * @example
 * String(toAddress(["::1", 8888])); // "[::1]:8888"
 */
export function toAddress(value: AddressLike): Address | HostPort {
  // This check comes first and allocates nothing, because servers pass the address from recvfrom() to sendto().
  if (value instanceof InetAddress && isPort(value.port) && isIPv4(value.host)) return value;
  if (typeof value === "string") return parseAddress(value);
  const subject: Subject = { kind: "address", value };
  if (typeof value !== "object" || value === null) throw refusal(subject, REQUIRED_FORMS);
  if (isAddress(value)) return checkInstance(subject, value);
  if (Array.isArray(value)) return addressFromTuple(subject, value as readonly unknown[]);
  return addressFromObject(subject, value as AddressFields);
}

function isPort(port: unknown): boolean {
  return typeof port === "number" && port >= 0 && port <= 65535 && Number.isInteger(port);
}

/**
 * Checks the fields of an instance of an address class, whose constructor checks nothing. Returns another address if
 * the fields have a valid form that is not the usual one.
 */
function checkInstance(subject: Subject, address: Address): Address | HostPort {
  if (address instanceof InetAddress) {
    checkHost(subject, address.host, address.port);
    // toAddress() has returned each valid address already. So a host that checkHost() accepts is a name or IPv6.
    throw refusal(subject, `host is ${quote(address.host)}, required an IPv4 address`);
  }
  if (address instanceof Inet6Address) {
    const checked = checkHost(subject, address.host, address.port, address.flowinfo, address.scopeid);
    if (checked instanceof Inet6Address) {
      return checked.host === address.host && checked.scopeid === address.scopeid ? address : checked;
    }
    // The host has the name of an interface as its zone.
    if (checked instanceof HostPort && checked.zone !== undefined) return checked;
    throw refusal(subject, `host is ${quote(address.host)}, required an IPv6 address`);
  }
  if (address instanceof UnixAddress) {
    // A user may have passed bytes to the constructor. Then the result has a string as `path`.
    const checked = checkUnix(subject, address.path);
    if (checked.path !== address.path) return checked;
  } else if (address instanceof VsockAddress) {
    checkU32(subject, "cid", address.cid);
    checkU32(subject, "port", address.port);
  } else if (address instanceof NetlinkAddress) {
    checkU32(subject, "pid", address.pid);
    checkU32(subject, "groups", address.groups);
  } else if (address instanceof PacketAddress) {
    const { protocol, ifindex, ifname, hatype, pkttype, addr } = address;
    // As in PacketLike, the name of an interface takes the place of its index.
    checkPacket(subject, { protocol, ifindex: ifname === undefined ? ifindex : ifname, hatype, pkttype, addr });
  } else if (address instanceof OpaqueAddress) {
    checkOpaque(subject, address.family, address.data);
  }
  return address;
}

function checkPacket(subject: Subject, { protocol, ifindex, hatype, pkttype, addr }: AddressFields): PacketAddress {
  const isText = typeof ifindex === "string";
  if (isText && !isZone(ifindex)) {
    throw refusal(subject, `ifindex is ${quote(ifindex)}, required the index or the name of an interface`);
  }
  // A text of digits is an index, as in a zone. For any other text, which is a name, `index` is undefined.
  const index = isText ? zoneIndex(ifindex) : ifindex;
  return new PacketAddress(
    checkInteger(subject, "protocol", protocol, 0xffff),
    checkInteger(subject, "ifindex", index ?? 0, 0x7fff_ffff),
    checkInteger(subject, "hatype", hatype, 0xffff),
    checkInteger(subject, "pkttype", pkttype, 0xff),
    checkBytes(subject, "addr", addr, 8),
    isText && index === undefined ? ifindex : undefined,
  );
}

function checkOpaque(subject: Subject, family: unknown, data: unknown): OpaqueAddress {
  // 126 is sizeof(struct sockaddr_storage) without sa_family.
  return new OpaqueAddress(checkInteger(subject, "family", family, 0xffff), checkBytes(subject, "data", data, 126));
}

function checkBytes(subject: Subject, name: string, bytes: unknown, maxBytes: number): Uint8Array {
  if (!isUint8Array(bytes) || bytes.length > maxBytes) {
    throw refusal(subject, `${name} is ${quote(bytes)}, required a Uint8Array of at most ${maxBytes} bytes`);
  }
  return bytes;
}

function addressFromTuple(subject: Subject, tuple: readonly unknown[]): Address | HostPort {
  if (tuple.length < 2 || tuple.length > 4) {
    throw refusal(subject, `it has ${tuple.length} members, required [host, port] or [host, port, flowinfo, scopeid]`);
  }
  return checkHost(subject, tuple[0], tuple[1], tuple[2], tuple[3]);
}

/** The fields of all forms of an address that are objects, not checked yet. */
interface AddressFields {
  readonly family?: unknown;
  readonly host?: unknown;
  readonly port?: unknown;
  readonly flowinfo?: unknown;
  readonly scopeid?: unknown;
  readonly zone?: unknown;
  readonly path?: unknown;
  readonly cid?: unknown;
  readonly pid?: unknown;
  readonly groups?: unknown;
  readonly protocol?: unknown;
  readonly ifindex?: unknown;
  readonly hatype?: unknown;
  readonly pkttype?: unknown;
  readonly addr?: unknown;
  readonly data?: unknown;
}

const NO_BYTES: Uint8Array = new Uint8Array(0);

function addressFromObject(subject: Subject, fields: AddressFields): Address | HostPort {
  const { family, host, port, flowinfo, scopeid, zone, path, cid, pid, groups, ifindex, data } = fields;
  const { protocol = 0, hatype = 0, pkttype = 0, addr = NO_BYTES } = fields;
  const hasHost = host !== undefined;
  const hasPath = path !== undefined;
  const hasCid = cid !== undefined;
  const isNetlink = pid !== undefined || groups !== undefined;
  const isPacket = ifindex !== undefined;
  const isOpaque = data !== undefined;
  const hasInet6Fields = flowinfo !== undefined || scopeid !== undefined || zone !== undefined;
  const packetFields = [fields.protocol, fields.hatype, fields.pkttype, fields.addr];
  const hasPacketFields = packetFields.some((field) => field !== undefined);
  const formCount = [hasHost, hasPath, hasCid, isNetlink, isPacket, isOpaque].filter(Boolean).length;
  if (formCount !== 1) throw refusal(subject, REQUIRED_FORMS);
  const mixesFamilies =
    (port !== undefined && !hasHost && !hasCid) || (hasInet6Fields && !hasHost) || (hasPacketFields && !isPacket);
  if (mixesFamilies) throw refusal(subject, `the object mixes fields of different families, ${REQUIRED_FORMS}`);
  if (hasHost) {
    const address = checkHost(subject, host, port, flowinfo, scopeid, zone);
    if (!(address instanceof HostPort)) checkFamily(subject, family, address.family);
    // A host with a zone is an IPv6 address. The family of a name is not known yet.
    else checkFamily(subject, family, address.zone === undefined ? AF_UNSPEC : AF_INET6);
    return address;
  }
  if (hasPath) {
    checkFamily(subject, family, AF_UNIX);
    return checkUnix(subject, path);
  }
  if (hasCid) {
    checkFamily(subject, family, AF_VSOCK);
    return new VsockAddress(checkU32(subject, "cid", cid), checkU32(subject, "port", port));
  }
  if (isPacket) {
    checkFamily(subject, family, AF_PACKET);
    return checkPacket(subject, { protocol, ifindex, hatype, pkttype, addr: fromHex(addr, ":") });
  }
  if (isOpaque) return checkOpaque(subject, family, fromHex(data, ""));
  checkFamily(subject, family, AF_NETLINK);
  return new NetlinkAddress(checkU32(subject, "pid", pid), checkU32(subject, "groups", groups));
}

/** Decodes a text in the hexadecimal form of `toJSON()`. Returns any other value unchanged; the caller checks it. */
function fromHex(value: unknown, separator: string): unknown {
  if (typeof value !== "string") return value;
  const digits = separator === "" ? value : value.split(separator).join("");
  const bytes = Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  // If the bytes make the same text again, the text was in this form.
  const encoded = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(separator);
  return encoded === value.toLowerCase() ? bytes : value;
}

/**
 * Checks the field `family`, which an object has if it was copied from an address. The field must be absent, AF_UNSPEC
 * or `actual`, the family of the address that the other fields make.
 */
function checkFamily(subject: Subject, family: unknown, actual: number): void {
  if (family === undefined || family === AF_UNSPEC || family === actual) return;
  let description = `family ${actual}`;
  if (actual === AF_UNSPEC) description = "a host name, whose family is not known yet";
  else if (actual === AF_INET) description = "an IPv4 address";
  throw refusal(subject, `family is ${quote(family)}, but the other fields make ${description}`);
}
