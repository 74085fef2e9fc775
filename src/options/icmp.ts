// Options of raw ICMP sockets, raw(7) and RFC 3542 section 3.2: which types of message come in.

import * as k from "../sys/constants.js";
import { LITTLE, view } from "../sys/nativeInts.js";
import { shapedOption, type SocketOption, numberMember } from "./option.js";
import { arrayMember, checkMembers } from "./memberChecks.js";

/** Types of message, either those that come in or those that do not. */
export type IcmpFilter = { readonly pass: readonly number[] } | { readonly block: readonly number[] };

function filterOption(
  name: string,
  level: number,
  optname: number,
  types: number,
): SocketOption<{ block: number[] }, IcmpFilter> {
  const size = types / 8;
  return shapedOption<{ block: number[] }, IcmpFilter>(
    name,
    level,
    optname,
    size,
    (bytes) => {
      const block: number[] = [];
      for (let type = 0; type < types; type++) if (blocked(bytes, type)) block.push(type);
      return { block };
    },
    (value) => {
      const given = checkMembers(name, value, ["pass", "block"]);
      const pass = given["pass"] !== undefined;
      if (pass === (given["block"] !== undefined))
        throw new TypeError(`Cannot set ${name}: required either pass or block`);
      const member = pass ? "pass" : "block";
      const bytes = new Uint8Array(size).fill(pass ? 0xff : 0);
      arrayMember(name, member, given[member]).forEach((type, index) => {
        const number = numberMember(name, `${member}[${index}]`, type, 0, types - 1);
        const at = (number >>> 5) * 4;
        const word = view(bytes).getUint32(at, LITTLE);
        const bit = 1 << (number & 31);
        view(bytes).setUint32(at, pass ? word & ~bit : word | bit, LITTLE);
      });
      return bytes;
    },
  );
}

function blocked(bytes: Uint8Array, type: number): boolean {
  return ((view(bytes).getUint32((type >>> 5) * 4, LITTLE) >>> (type & 31)) & 1) === 1;
}

/** Which of the types 0 to 31 come in; all others always do. Raw sockets of `IPPROTO_ICMP`. */
export const ICMP_FILTER: SocketOption<{ block: number[] }, IcmpFilter> = filterOption(
  "ICMP_FILTER",
  k.SOL_RAW,
  k.ICMP_FILTER,
  32,
);
/** Which types come in. Raw sockets of `IPPROTO_ICMPV6`. */
export const ICMP6_FILTER: SocketOption<{ block: number[] }, IcmpFilter> = filterOption(
  "ICMP6_FILTER",
  k.IPPROTO_ICMPV6,
  k.ICMP6_FILTER,
  256,
);
