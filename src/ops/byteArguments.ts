// recv, send and their kin: their arguments, checked.

import { isUint8Array } from "node:util/types";
import { type Address, type AddressLike, toAddress } from "../addr/index.js";
import { byteCount, bytesToSend, byteView, type Sendable, totalLength } from "../check/index.js";
import { IOV_MAX } from "../sys/constants.js";
import {
  type LargeRead,
  RECV,
  RECV_INTO,
  RECV_LARGE,
  RECVFROM,
  RECVFROM_INTO,
  RECVFROM_LARGE,
  SLAB_SIZE,
} from "./recv.js";
import { toFill, RECV_ALL, RECV_ALL_INTO, RECVFROM_ALL, RECVFROM_ALL_INTO, waitsForAll } from "./recvAll.js";
import { SEND, SEND_ALL, type Sending, SENDTO } from "./send.js";
import { encodeAddress } from "../sys/sockaddr.js";
import { flagsOf, sendFlagsOf, type TransferOptions } from "./flags.js";
import type { Addressed, Request } from "./request.js";

export function recvRequest(type: number, size: number, opts: TransferOptions | undefined): Request<Buffer> {
  const count = byteCount(size, "recv");
  const flags = flagsOf(opts, "recv");
  if (flags !== 0 && waitsForAll(type, count, flags)) return { operation: RECV_ALL, operand: toFill(count), flags };
  if (count <= SLAB_SIZE) return { operation: RECV, operand: count, flags };
  const operand: LargeRead = { size: count, buffer: undefined };
  return { operation: RECV_LARGE, operand, flags };
}

export function recvIntoRequest(type: number, buffer: Uint8Array, opts: TransferOptions | undefined): Request<number> {
  const operand = byteView(buffer, "recv");
  const flags = flagsOf(opts, "recv");
  if (flags === 0 || !waitsForAll(type, operand.length, flags)) return { operation: RECV_INTO, operand, flags };
  return { operation: RECV_ALL_INTO, operand: toFill(operand.length, operand), flags };
}

export function recvfromRequest(
  type: number,
  size: number,
  opts: TransferOptions | undefined,
): Request<[Buffer, Address]> {
  const count = byteCount(size, "recvfrom");
  const flags = flagsOf(opts, "recvfrom");
  if (waitsForAll(type, count, flags)) return { operation: RECVFROM_ALL, operand: toFill(count), flags };
  if (count <= SLAB_SIZE) return { operation: RECVFROM, operand: count, flags };
  const operand: LargeRead = { size: count, buffer: undefined };
  return { operation: RECVFROM_LARGE, operand, flags };
}

export function recvfromIntoRequest(
  type: number,
  buffer: Uint8Array,
  opts: TransferOptions | undefined,
): Request<[number, Address]> {
  const operand = byteView(buffer, "recvfrom");
  const flags = flagsOf(opts, "recvfrom");
  if (!waitsForAll(type, operand.length, flags)) return { operation: RECVFROM_INTO, operand, flags };
  return { operation: RECVFROM_ALL_INTO, operand: toFill(operand.length, operand), flags };
}

/**
 * What is to be sent. A message has to go out in one call, and each call of a sendAll walks over the parts anew: a list of
 * more parts than one call takes is put together first.
 */
function message(data: Sendable, action: string): Uint8Array | Uint8Array[] {
  const bytes = bytesToSend(data, action);
  return isUint8Array(bytes) || bytes.length <= IOV_MAX ? bytes : Buffer.concat(bytes);
}

export function sendRequest(data: Sendable, opts: TransferOptions | undefined): Request<number> {
  return { operation: SEND, operand: message(data, "send"), flags: sendFlagsOf(opts, "send") };
}

export function sendAllRequest(data: Sendable, opts: TransferOptions | undefined): Request<void> {
  const bytes = message(data, "send");
  const operand: Sending = { data: bytes, total: totalLength(bytes), sent: 0 };
  return { operation: SEND_ALL, operand, flags: sendFlagsOf(opts, "send") };
}

export function sendtoRequest(
  data: Sendable,
  address: AddressLike,
  opts: TransferOptions | undefined,
): Addressed<number> {
  const bytes = message(data, "sendto");
  const flags = sendFlagsOf(opts, "sendto");
  return {
    syscall: "sendto",
    target: toAddress(address),
    at: (known) => ({
      operation: SENDTO,
      operand: { data: bytes, address: known!, sockaddr: encodeAddress(known!) },
      flags,
    }),
  };
}
