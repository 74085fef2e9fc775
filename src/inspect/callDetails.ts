// Details of calls: short texts of their arguments, for records.

import { declaredOptions, type SocketOption } from "../options/option.js";
import { IPPROTO_IPV6, MSG_ERRQUEUE, SHUT_RD, SHUT_WR } from "../sys/constants.js";
import { decodeAddress } from "../sys/sockaddr.js";

type AnyOption = SocketOption<unknown, never>;

/** The options by `LEVEL:OPTNAME`. */
let byNumbers: ReadonlyMap<string, AnyOption> | undefined;

function optionOf(level: number, optname: number): AnyOption | undefined {
  byNumbers ??= new Map([...declaredOptions.values()].flatMap(numbersOf));
  return byNumbers.get(`${level}:${optname}`);
}

/** An option with its keys in `byNumbers`. For an IPv6 group, the `MCAST_` options have the level of IPv6. */
function numbersOf(option: AnyOption): [string, AnyOption][] {
  const levels = option.levelOf === undefined ? [option.level] : [option.level, IPPROTO_IPV6];
  return levels.map((level) => [`${level}:${option.optname}`, option]);
}

/** Maximum length of the value of an option in a record. */
const MAX_TEXT = 80;

/** The value of an option as one line, cut if it is long. Bytes are hexadecimal. */
export function valueText(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex").slice(0, MAX_TEXT);
  if (typeof value === "string") return value;
  if (typeof value === "bigint") return String(value);
  const text = JSON.stringify(value, (_, field: unknown) => {
    if (field instanceof Uint8Array) return Buffer.from(field).toString("hex");
    return typeof field === "bigint" ? String(field) : field;
  }) as string | undefined;
  // A struct has several fields, so its text may be longer.
  return (text ?? String(value)).replaceAll('"', "").slice(0, 4 * MAX_TEXT);
}

export function optionDetail(level: number, optname: number, value: Uint8Array): string {
  const option = optionOf(level, optname);
  if (option === undefined) return `level ${level}, option ${optname}`;
  // The value is a secret key.
  if (option.name === "TCP_FASTOPEN_KEY") return option.name;
  try {
    return `${option.name} = ${valueText(option.decode(value)).slice(0, MAX_TEXT)}`;
  } catch {
    // decode() throws for an option that can only be set.
    return option.name;
  }
}

/** The address as text; empty for a sender without a name, whose address has no family (2 bytes). */
export function addressDetail(address: Uint8Array): string {
  return address.length < 2 ? "" : String(decodeAddress(address));
}

/** The flag because of which a call moves no data. */
export const peekDetail = (flags: number): string => ((flags & MSG_ERRQUEUE) !== 0 ? "MSG_ERRQUEUE" : "MSG_PEEK");

export const batchDetail = (count: number): string =>
  count < 0 ? "" : `${count} ${count === 1 ? "datagram" : "datagrams"}`;

/** A view of a part of the bytes; undefined if their buffer was detached during the call. */
export function subarrayOrUndefined(bytes: Uint8Array, from: number, to?: number): Uint8Array | undefined {
  try {
    return bytes.subarray(from, to);
  } catch {
    return undefined;
  }
}

export const listenDetail = (backlog: number): string => `backlog ${backlog}`;

export const shutdownDetail = (how: number): string =>
  how === SHUT_RD ? "SHUT_RD" : how === SHUT_WR ? "SHUT_WR" : "SHUT_RDWR";
