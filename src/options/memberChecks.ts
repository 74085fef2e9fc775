// Checks the members of the objects that options take: numeric addresses, interfaces, lists. Each function returns the
// checked or converted value, or throws a TypeError or RangeError. `option` and `member` are names for the message.

import { AF_INET, AF_INET6, formatIPv4, formatIPv6, parseIPv4, parseIPv6 } from "../addr/index.js";
import { quote } from "../check/index.js";
import { interfaceIndex } from "../sys/interfaceIndex.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { cannotSet } from "./option.js";

/** Requires an object without other members than `members`. So a misspelt member is an error. */
export function checkMembers(option: string, value: unknown, members: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value) || ArrayBuffer.isView(value)) {
    throw new TypeError(`${cannotSet(option, value)}, required an object of ${members.join(", ")}`);
  }
  for (const key of Object.keys(value)) {
    if (!members.includes(key)) {
      throw new TypeError(
        `Cannot set ${option}: member ${quote(key)} is unknown, required one of ${members.join(", ")}`,
      );
    }
  }
  return value as Record<string, unknown>;
}

/** Requires true or false. */
export function booleanMember(option: string, member: string, value: unknown): boolean {
  if (typeof value !== "boolean") throw new TypeError(`${cannotSet(option, value, member)}, required true or false`);
  return value;
}

/** Requires an array. */
export function arrayMember(option: string, member: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new TypeError(`${cannotSet(option, value, member)}, required an array`);
  return value;
}

/** Converts a numeric IPv4 address to its four bytes. */
export function ipv4Member(option: string, member: string, value: unknown): Uint8Array {
  const bytes = typeof value === "string" ? parseIPv4(value) : undefined;
  if (bytes === undefined) throw new TypeError(`${cannotSet(option, value, member)}, required a numeric IPv4 address`);
  return bytes;
}

/** Converts a numeric IPv6 address without a zone to its sixteen bytes. */
export function ipv6Member(option: string, member: string, value: unknown): Uint8Array {
  const parsed = typeof value === "string" ? parseIPv6(value) : undefined;
  if (parsed === undefined) throw new TypeError(`${cannotSet(option, value, member)}, required a numeric IPv6 address`);
  if (parsed.zone !== undefined) {
    throw new TypeError(
      `${cannotSet(option, value, member)}, required an address without a zone: pass the interface as "interface"`,
    );
  }
  return parsed.bytes;
}

/** Converts an interface to its index. For an unknown name or address it throws a SocketError with `ENODEV`. */
export function interfaceMember(option: string, member: string, value: unknown): number {
  return interfaceIndex(value, `set ${option}`, member);
}

/** Bytes of a sockaddr_storage. */
export const STORAGE_SIZE = 128;

/**
 * Converts a numeric IPv4 or IPv6 address to a sockaddr_storage with port 0. The address begins at byte 4 of a
 * sockaddr_in, and at byte 8 of a sockaddr_in6.
 */
export function storageMember(option: string, member: string, value: unknown): Uint8Array {
  const bytes = new Uint8Array(STORAGE_SIZE);
  const ipv4 = typeof value === "string" ? parseIPv4(value) : undefined;
  if (ipv4 !== undefined) {
    view(bytes).setUint16(0, AF_INET, LITTLE_ENDIAN);
    bytes.set(ipv4, 4);
    return bytes;
  }
  if (typeof value !== "string" || !value.includes(":")) {
    throw new TypeError(`${cannotSet(option, value, member)}, required a numeric IPv4 or IPv6 address`);
  }
  view(bytes).setUint16(0, AF_INET6, LITTLE_ENDIAN);
  bytes.set(ipv6Member(option, member, value), 8);
  return bytes;
}

/** Whether the sockaddr_storage at `offset` has an IPv6 address. */
export function isIPv6Storage(bytes: Uint8Array, offset: number): boolean {
  return view(bytes).getUint16(offset, LITTLE_ENDIAN) === AF_INET6;
}

/** The numeric address in the sockaddr_storage at `offset`. */
export function storageHost(bytes: Uint8Array, offset: number): string {
  return isIPv6Storage(bytes, offset) ? formatIPv6(bytes, offset + 8) : formatIPv4(bytes, offset + 4);
}

/** Concatenates byte arrays. */
export function concatenate(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
