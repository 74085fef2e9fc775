// A kind of control message: its level and type, and how its data look in bytes and in TypeScript.

import { integer } from "../arguments.js";
import { intBytes, LITTLE, view } from "../options/option.js";

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
  /** `name` says in errors which message it is: `control[0]`. */
  readonly encode?: (message: never, name: string) => Uint8Array;
}

/** A control message whose data are one number: an int, or a byte where the kernel sends a byte. */
export function intCodec(
  name: string,
  level: number,
  cmsg: number,
  field: string,
  range?: readonly [min: number, max: number],
): Codec {
  const decode = (data: Uint8Array): { type: string } | undefined => {
    const value = data.length >= 4 ? view(data).getInt32(0, LITTLE) : data[0];
    return value === undefined ? undefined : { type: name, [field]: value };
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
