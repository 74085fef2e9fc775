// Calls that never wait: listen, shutdown, getsockname, getpeername, setsockopt, getsockopt. The awaitable socket, the
// blocking socket and a socket under TLS use them.

import { isUint8Array } from "node:util/types";
import type { Address } from "../addr/index.js";
import { byteView, int32, integer, quote } from "../check/index.js";
import type { SocketOption } from "../options/option.js";
import { SHUT_RD, SHUT_RDWR, SHUT_WR } from "../sys/constants.js";
import type { SocketError } from "../errors/index.js";
import { check, socketError } from "../sys/errno.js";
import { intBytes, readInt } from "../sys/nativeInts.js";
import { scratchCopy } from "../sys/scratch.js";
import { decodeAddressBuffer, addressBuffer } from "../sys/sockaddr.js";
import type { OpenSocket } from "./runner.js";

/** The bytes of a C `int`. */
const INT_SIZE = 4;
/** The longest value of `getsockopt(level, name, size)`, in bytes. */
const MAX_OPTION = 1 << 16;

export function listen(socket: OpenSocket, backlog: number): void {
  const length = int32(backlog, "listen", "backlog");
  check(socket.calls.listen(socket.checkOpen("listen"), length), "listen");
}

export function shutdown(socket: OpenSocket, how: number): void {
  if (how !== SHUT_RD && how !== SHUT_WR && how !== SHUT_RDWR) {
    const text = `Cannot shutdown: how is ${quote(how)}, required SHUT_RD (0), SHUT_WR (1) or SHUT_RDWR (2)`;
    throw typeof how === "number" ? new RangeError(text) : new TypeError(text);
  }
  check(socket.calls.shutdown(socket.checkOpen("shutdown"), how), "shutdown");
}

export function getsockname(socket: OpenSocket): Address {
  check(socket.calls.getsockname(socket.checkOpen("getsockname"), addressBuffer), "getsockname");
  return decodeAddressBuffer();
}

export function getpeername(socket: OpenSocket): Address {
  check(socket.calls.getpeername(socket.checkOpen("getpeername"), addressBuffer), "getpeername");
  return decodeAddressBuffer();
}

/** The two forms of setsockopt: an option and its value, or a level, a name and a value. */
export function setsockopt(socket: OpenSocket, first: unknown, second: unknown, third: unknown): void {
  let level: number;
  let name: number;
  let bytes: Uint8Array;
  let option: SocketOption<unknown, never> | undefined;
  if (typeof first === "object" && first !== null) {
    option = checkOption(first, "setsockopt");
    name = option.optname;
    bytes = option.encode(second as never);
    level = option.levelOf === undefined ? option.level : option.levelOf(bytes);
  } else {
    level = int32(first, "setsockopt", "level");
    name = optionNumber(second, "setsockopt");
    bytes =
      typeof third === "number"
        ? intBytes(integer(third, "setsockopt", "value", -0x8000_0000, 0xffff_ffff) | 0)
        : optionBytes(third);
  }
  const result = socket.calls.setsockopt(socket.checkOpen("setsockopt"), level, name, scratchCopy(bytes));
  if (result < 0) throw optionError(result, "setsockopt", level, option ?? second);
  socket.onOptionSet?.(level, name);
}

/** The three forms of getsockopt: an option; a level and a name; a level, a name and a size. */
export function getsockopt(socket: OpenSocket, first: unknown, second: unknown, size: unknown): unknown {
  if (typeof first === "object" && first !== null) {
    const option = checkOption(first, "getsockopt");
    return option.decode(readOptionBytes(socket, option.level, option, option.size, option.query));
  }
  const level = int32(first, "getsockopt", "level");
  if (size === undefined) return readInt(readOptionBytes(socket, level, second, INT_SIZE));
  return readOptionBytes(socket, level, second, integer(size, "getsockopt", "size", 0, MAX_OPTION));
}

/**
 * Calls getsockopt(2).
 *
 * @param option an option or its number
 * @param size the maximum length of the value
 * @param query see SocketOption
 */
function readOptionBytes(socket: OpenSocket, level: number, option: unknown, size: number, query?: Uint8Array): Buffer {
  const name = optionNumber(option, "getsockopt");
  const bytes = Buffer.alloc(size);
  if (query !== undefined) bytes.set(query);
  const result = socket.calls.getsockopt(socket.checkOpen("getsockopt"), level, name, bytes);
  if (result < 0) throw optionError(result, "getsockopt", level, option);
  return bytes.subarray(0, Math.min(result, size));
}

/** The error of setsockopt or getsockopt. It has the name of the option, or the numbers of an option without a name. */
function optionError(errno: number, syscall: string, level: number, option: unknown): SocketError {
  const name = (option as { readonly name?: unknown } | null | undefined)?.name;
  const text = typeof name === "string" ? name : `option ${String(option)} of level ${level}`;
  return socketError(errno, syscall, { option: text });
}

function checkOption(value: object, action: string): SocketOption<unknown, never> {
  const option = value as SocketOption<unknown, never>;
  if (typeof option.encode === "function" && typeof option.decode === "function") return option;
  throw new TypeError(
    `Cannot ${action}: option is ${quote(option)}, required an option such as TCP_NODELAY, or a level and a number`,
  );
}

function optionNumber(value: unknown, action: string): number {
  if (typeof value === "object" && value !== null && "optname" in value) return int32(value.optname, action, "option");
  return int32(value, action, "option");
}

function optionBytes(value: unknown): Uint8Array {
  if (isUint8Array(value)) return value;
  return byteView(value, "setsockopt");
}
