// Options of raw ICMP sockets, raw(7) and RFC 3542 section 3.2: which types of messages the socket receives.

import * as k from "../sys/constants.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { cannotSet, customOption, type SocketOption, numberMember } from "./option.js";
import { arrayMember, checkMembers } from "./memberChecks.js";

/** Types of messages: either those that the socket receives (`pass`), or those that it does not (`block`). */
export type IcmpFilter = { readonly pass: readonly number[] } | { readonly block: readonly number[] };

/**
 * An option whose value has one bit for each type, in words of 32 bits. The bit of a blocked type is 1.
 *
 * @param typeCount number of types
 */
function filterOption(
  name: string,
  level: number,
  optname: number,
  typeCount: number,
): SocketOption<{ block: number[] }, IcmpFilter> {
  const size = typeCount / 8;
  return customOption<{ block: number[] }, IcmpFilter>(
    name,
    level,
    optname,
    size,
    (bytes) => {
      const block: number[] = [];
      for (let type = 0; type < typeCount; type++) if (isBlocked(bytes, type)) block.push(type);
      return { block };
    },
    (value) => {
      const given = checkMembers(name, value, ["pass", "block"]);
      const hasPass = given["pass"] !== undefined;
      const hasBlock = given["block"] !== undefined;
      if (hasPass === hasBlock) throw new TypeError(`${cannotSet(name, value)}, required either pass or block`);
      const member = hasPass ? "pass" : "block";
      // With `pass`, all types are blocked at first.
      const bytes = new Uint8Array(size).fill(hasPass ? 0xff : 0);
      arrayMember(name, member, given[member]).forEach((element, index) => {
        const type = numberMember(name, `${member}[${index}]`, element, 0, typeCount - 1);
        const at = wordOffset(type);
        const word = view(bytes).getUint32(at, LITTLE_ENDIAN);
        const bit = 1 << (type % 32);
        view(bytes).setUint32(at, hasPass ? word & ~bit : word | bit, LITTLE_ENDIAN);
      });
      return bytes;
    },
  );
}

/** Where the word with the bit of a type begins, in bytes. */
function wordOffset(type: number): number {
  return 4 * Math.floor(type / 32);
}

function isBlocked(bytes: Uint8Array, type: number): boolean {
  const bit = 1 << (type % 32);
  return (view(bytes).getUint32(wordOffset(type), LITTLE_ENDIAN) & bit) !== 0;
}

/** The types 0 to 31 that the socket receives. It always receives all other types. Raw `IPPROTO_ICMP` sockets only. */
export const ICMP_FILTER: SocketOption<{ block: number[] }, IcmpFilter> = filterOption(
  "ICMP_FILTER",
  k.SOL_RAW,
  k.ICMP_FILTER,
  32,
);
/** The types that the socket receives. Raw `IPPROTO_ICMPV6` sockets only. */
export const ICMP6_FILTER: SocketOption<{ block: number[] }, IcmpFilter> = filterOption(
  "ICMP6_FILTER",
  k.IPPROTO_ICMPV6,
  k.ICMP6_FILTER,
  256,
);
