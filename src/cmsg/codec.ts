// The codec of one kind of control message: its level, its type, and the conversion of its data.

import { integer } from "../check/index.js";
import { intBytes, LITTLE_ENDIAN, view } from "../sys/nativeInts.js";

/**
 * The conversion of one kind of control message. A kind that is only received has no `encode`. A kind that is only sent
 * has no `decode`.
 */
export interface Codec {
  /** The `type` of the decoded message: `"IP_TTL"`. */
  readonly name: string;
  readonly level: number;
  /** `cmsg_type`, the number of the kind in its level. */
  readonly cmsgType: number;
  /**
   * Converts the data of a message. Returns undefined for data that are too short. Must not throw for any data, and
   * must not keep `data`, whose memory is used again.
   */
  readonly decode?: (data: Uint8Array) => { readonly type: string } | undefined;
  /** Length of complete data, if `decode` accepts shorter data too. Shorter data may have been truncated. */
  readonly fullLength?: number;
  /** Converts a message to its data. Errors use `messageName` for the message: `control[0]`. */
  readonly encode?: (message: never, messageName: string) => Uint8Array;
}

/** Sizes of struct sockaddr_in and struct sockaddr_in6: ip(7), ipv6(7). */
export const SIZE_IN = 16;
export const SIZE_IN6 = 28;

/**
 * Makes the codec of a kind whose data are one int.
 *
 * @param field the member of the message with the number
 * @param range the numbers that can be sent; without it the kind is only received
 */
export function intCodec(
  name: string,
  level: number,
  cmsgType: number,
  field: string,
  range?: readonly [min: number, max: number],
): Codec {
  const decode = (data: Uint8Array): { type: string } | undefined => {
    if (data.length < 4) return undefined;
    return { type: name, [field]: view(data).getInt32(0, LITTLE_ENDIAN) };
  };
  if (range === undefined) return { name, level, cmsgType, decode };
  const encode = (message: Readonly<Record<string, unknown>>, messageName: string): Uint8Array =>
    // `| 0` is for uintCodec(): the same 32 bits as a signed number.
    intBytes(integer(message[field], "sendmsg", `${messageName}.${field}`, range[0], range[1]) | 0);
  return { name, level, cmsgType, decode, encode };
}

/**
 * Makes the codec of a kind whose data are one unsigned number of 32 bits.
 *
 * @param field the member of the message with the number
 * @param use whether the kind can also be sent
 */
export function uintCodec(
  name: string,
  level: number,
  cmsgType: number,
  field: string,
  use: "send" | "receive only",
): Codec {
  const signed = intCodec(name, level, cmsgType, field, use === "send" ? [0, 0xffff_ffff] : undefined);
  return {
    ...signed,
    decode: (data) => (data.length < 4 ? undefined : { type: name, [field]: view(data).getUint32(0, LITTLE_ENDIAN) }),
  };
}
