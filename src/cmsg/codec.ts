// A codec of one kind of control message: its level, its type, and the conversion of its data.

import { integer } from "../check/index.js";
import { intBytes, LITTLE, view } from "../sys/nativeInts.js";

/**
 * The conversion of one kind of control message. A kind that is only received has no `encode`, and a kind that is only
 * sent has no `decode`. `decode` must not throw for any bytes and must not keep the view. It returns undefined for data
 * that are too short.
 */
export interface Codec {
  /** The `type` of the decoded message: `"IP_TTL"`. */
  readonly name: string;
  readonly level: number;
  /** `cmsg_type`, the number of the kind in its level. */
  readonly cmsg: number;
  readonly decode?: (data: Uint8Array) => { readonly type: string } | undefined;
  /**
   * Minimum number of bytes from the kernel, if `decode` accepts fewer. A shorter message was cut and is not decoded.
   */
  readonly whole?: number;
  /** `name` is the name of the message in errors: `control[0]`. */
  readonly encode?: (message: never, name: string) => Uint8Array;
}

/** Bytes of struct sockaddr_in and of struct sockaddr_in6: ip(7), ipv6(7). */
export const SOCKADDR_IN = 16;
export const SOCKADDR_IN6 = 28;

/** A kind whose data are one int. */
export function intCodec(
  name: string,
  level: number,
  cmsg: number,
  field: string,
  range?: readonly [min: number, max: number],
): Codec {
  const decode = (data: Uint8Array): { type: string } | undefined => {
    if (data.length < 4) return undefined;
    return { type: name, [field]: view(data).getInt32(0, LITTLE) };
  };
  if (range === undefined) return { name, level, cmsg, decode };
  const encode = (message: Readonly<Record<string, unknown>>, which: string): Uint8Array =>
    intBytes(integer(message[field], "sendmsg", `${which}.${field}`, range[0], range[1]) | 0);
  return { name, level, cmsg, decode, encode };
}

/** A kind whose data are one unsigned number of 32 bits. */
export function uintCodec(name: string, level: number, cmsg: number, field: string, sent: boolean): Codec {
  const int = intCodec(name, level, cmsg, field, sent ? [0, 0xffff_ffff] : undefined);
  return {
    ...int,
    decode: (data) => (data.length < 4 ? undefined : { type: name, [field]: view(data).getUint32(0, LITTLE) }),
  };
}
