// A kind of control message: its level and type, and how its data look in bytes and in TypeScript.

import { integer } from "../check/index.js";
import { intBytes, LITTLE, view } from "../sys/nativeInts.js";

/**
 * What is known of a kind. A kind that is only received has no `encode`, one that is only sent no `decode`. Decoding must not
 * throw, whatever the bytes, nor keep the view; it gives undefined for data that are too short.
 */
export interface Codec {
  /** `"IP_TTL"`: what stands in `type`. */
  readonly name: string;
  readonly level: number;
  readonly cmsg: number;
  readonly decode?: (data: Uint8Array) => { readonly type: string } | undefined;
  /** Bytes that the kernel gives at least, if `decode` takes fewer: a message that was cut below that is not decoded. */
  readonly whole?: number;
  /** `name` says in errors which message it is: `control[0]`. */
  readonly encode?: (message: never, name: string) => Uint8Array;
}

/** Bytes of struct sockaddr_in and of struct sockaddr_in6: ip(7), ipv6(7). */
export const SOCKADDR_IN = 16;
export const SOCKADDR_IN6 = 28;

/** A control message whose data are one number: an int. */
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

/** A control message whose data are one number of 32 bits without a sign. */
export function uintCodec(name: string, level: number, cmsg: number, field: string, sent: boolean): Codec {
  const int = intCodec(name, level, cmsg, field, sent ? [0, 0xffff_ffff] : undefined);
  return {
    ...int,
    decode: (data) => (data.length < 4 ? undefined : { type: name, [field]: view(data).getUint32(0, LITTLE) }),
  };
}
