// Control messages of the error queue: struct sock_extended_err of ip(7), with the address of the host that reported
// the error.

import type { Address } from "../addr/index.js";
import * as k from "../sys/constants.js";
import { errnoName } from "../sys/errno.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { decodeAddressAt } from "../sys/sockaddr.js";
import { type Codec, SIZE_IN, SIZE_IN6 } from "./codec.js";

/**
 * An entry of the error queue, received with `MSG_ERRQUEUE` after `IP_RECVERR` or `IPV6_RECVERR` was set. The received
 * data are the beginning of the packet that failed, and the received address is the destination of that packet.
 *
 * @see ip(7), IP_RECVERR
 */
export interface ExtendedErrorMessage {
  readonly type: "IP_RECVERR" | "IPV6_RECVERR";
  readonly ee_errno: number;
  /** The name of `ee_errno`: `"ECONNREFUSED"`; undefined if `ee_errno` is 0. */
  readonly code: string | undefined;
  /** `SO_EE_ORIGIN_LOCAL`, `SO_EE_ORIGIN_ICMP`, `SO_EE_ORIGIN_ICMP6`, `SO_EE_ORIGIN_TIMESTAMPING`; and others. */
  readonly ee_origin: number;
  /** The type of the ICMP message, if the origin is ICMP. */
  readonly ee_type: number;
  /** The code of the ICMP message, if the origin is ICMP. */
  readonly ee_code: number;
  /** The MTU, if the error is EMSGSIZE. */
  readonly ee_info: number;
  readonly ee_data: number;
  /** The address of the host that reported the error, if it is known. */
  readonly offender: Address | undefined;
}

/** Bytes of struct sock_extended_err. After it the kernel writes the address of the offender. */
const ERROR_SIZE = 16;
/** Bytes of the family, with which an address begins. */
const FAMILY_SIZE = 2;

/** @param addressSize bytes of the address that the kernel writes after the error */
function extendedErrorCodec(
  name: "IP_RECVERR" | "IPV6_RECVERR",
  level: number,
  cmsgType: number,
  addressSize: number,
): Codec {
  return {
    name,
    level,
    cmsgType,
    fullLength: ERROR_SIZE + addressSize,
    decode: (data): ExtendedErrorMessage | undefined => {
      if (data.length < ERROR_SIZE) return undefined;
      // The address is cut off inside its family.
      if (data.length > ERROR_SIZE && data.length < ERROR_SIZE + FAMILY_SIZE) return undefined;
      const input = view(data);
      const ee_errno = input.getUint32(0, LITTLE_ENDIAN);
      // If the kernel has no address, the family is AF_UNSPEC.
      const family = data.length === ERROR_SIZE ? k.AF_UNSPEC : input.getUint16(ERROR_SIZE, LITTLE_ENDIAN);
      const hasAddress = family !== k.AF_UNSPEC;
      if (hasAddress && data.length < ERROR_SIZE + (family === k.AF_INET6 ? SIZE_IN6 : SIZE_IN)) return undefined;
      return {
        type: name,
        ee_errno,
        code: ee_errno === 0 ? undefined : errnoName(-ee_errno),
        ee_origin: data[4]!,
        ee_type: data[5]!,
        ee_code: data[6]!,
        ee_info: input.getUint32(8, LITTLE_ENDIAN),
        ee_data: input.getUint32(12, LITTLE_ENDIAN),
        offender: hasAddress ? decodeAddressAt(data, ERROR_SIZE, data.length - ERROR_SIZE) : undefined,
      };
    },
  };
}

export const ERROR_CODECS: readonly Codec[] = [
  extendedErrorCodec("IP_RECVERR", k.IPPROTO_IP, k.IP_RECVERR, SIZE_IN),
  extendedErrorCodec("IPV6_RECVERR", k.IPPROTO_IPV6, k.IPV6_RECVERR, SIZE_IN6),
];
