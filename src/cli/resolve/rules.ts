// Explains the order of a resolver's addresses by the rules of RFC 6724, section 6, with its default table.
//
// getaddrinfo(3) has sorted the addresses already, perhaps with another table (gai.conf(5)). If the rules give another
// order than the resolver, the explanation is "by the order of the resolver".

import { AF_INET, inet_pton, AF_INET6 } from "berkeley";

import { type HostAddress, hostOf } from "../frame/hosts.js";

export interface Candidate {
  readonly address: HostAddress;
  /** The source address; undefined without a route. */
  readonly source: HostAddress | undefined;
}

/** The default policy table (section 2.1): prefix, its length, precedence and label. Longer prefixes are first. */
const POLICIES = [
  ["::1", 128, 50, 0],
  ["::ffff:0:0", 96, 35, 4],
  ["::", 96, 1, 3],
  ["2001::", 32, 5, 5],
  ["2002::", 16, 30, 2],
  ["3ffe::", 16, 1, 12],
  ["fec0::", 10, 1, 11],
  ["fc00::", 7, 3, 13],
  ["::", 0, 40, 1],
] as const;

/** Scopes: the numbers of multicast scopes (RFC 4291, section 2.7). */
const LINK_LOCAL = 2;
const SITE_LOCAL = 5;
const GLOBAL = 14;
/** The first 16 bits of the prefixes fe80::/10 (link-local) and fec0::/10 (site-local), and the mask of 10 bits. */
const FE80 = 0xfe80;
const FEC0 = 0xfec0;
const MASK_10 = 0xffc0;
const SCOPES: ReadonlyMap<number, string> = new Map([
  [LINK_LOCAL, "link-local"],
  [SITE_LOCAL, "site-local"],
  [GLOBAL, "global"],
]);

/** The 16 bytes of an address. An IPv4 address is mapped to IPv6 (section 2.1). */
function bytesOf(address: HostAddress): Buffer {
  return inet_pton(AF_INET6, address.family === AF_INET ? `::ffff:${address.host}` : address.host);
}

/** The number of equal bits at the start of two addresses, at most `length`. */
function commonBits(a: Buffer, b: Buffer, length: number): number {
  for (let bit = 0; bit < length; bit++) {
    // Bit 0 is the highest bit of the first byte.
    const byteIndex = bit >> 3;
    const mask = 0x80 >> (bit & 7);
    if ((a[byteIndex]! & mask) !== (b[byteIndex]! & mask)) return bit;
  }
  return length;
}

/** The precedence and the label of an address: those of the longest prefix that matches. */
function policyOf(address: HostAddress): { precedence: number; label: number } {
  const bytes = bytesOf(address);
  for (const [prefix, length, precedence, label] of POLICIES) {
    if (commonBits(bytes, inet_pton(AF_INET6, prefix), length) === length) return { precedence, label };
  }
  // Not reached, because the last prefix (::/0) matches each address.
  return { precedence: 40, label: 1 };
}

/** The scope of an address: section 3.1, for IPv4 section 3.2. */
function scopeOf(address: HostAddress): number {
  const bytes = bytesOf(address);
  if (address.family === AF_INET) {
    // 127.0.0.0/8 and 169.254.0.0/16. The IPv4 address begins at byte 12 of the mapped address.
    const [a, b] = bytes.subarray(12);
    return a === 127 || (a === 169 && b === 254) ? LINK_LOCAL : GLOBAL;
  }
  // Multicast (ff00::/8): the low 4 bits of the second byte are the scope.
  if (bytes[0] === 0xff) return bytes[1]! & 0xf;
  const prefix = bytes.readUInt16BE(0) & MASK_10;
  if (address.host === "::1" || prefix === FE80) return LINK_LOCAL;
  return prefix === FEC0 ? SITE_LOCAL : GLOBAL;
}

const scopeName = (scope: number): string => SCOPES.get(scope) ?? `scope ${scope}`;

interface Rule {
  readonly number: number;
  /** The candidate with the higher score comes first. */
  score(candidate: Candidate): number;
  /** Why `better` comes first. */
  explain(better: Candidate): string;
}

/**
 * Rules 3, 4 and 7 are left out: they are about deprecated addresses, home addresses and tunnels. Rule 9 compares both
 * candidates, so it is in explainOrder().
 */
const RULES: readonly Rule[] = [
  { number: 1, score: ({ source }) => Number(source !== undefined), explain: () => "the other has no route" },
  {
    number: 2,
    score: ({ address, source }) => Number(source !== undefined && scopeOf(source) === scopeOf(address)),
    explain: ({ address }) => `its source address has the same scope, ${scopeName(scopeOf(address))}`,
  },
  {
    number: 5,
    score: ({ address, source }) => Number(source !== undefined && policyOf(source).label === policyOf(address).label),
    explain: ({ address }) => `its source address has the same label, ${policyOf(address).label}`,
  },
  {
    number: 6,
    score: ({ address }) => policyOf(address).precedence,
    explain: ({ address }) => `precedence ${policyOf(address).precedence}`,
  },
  {
    number: 8,
    score: ({ address }) => -scopeOf(address),
    explain: ({ address }) => `the smaller scope, ${scopeName(scopeOf(address))}`,
  },
];

/** Why the resolver returned `first` before `second`. */
export function explainOrder(first: Candidate, second: Candidate): string {
  const other = hostOf(second.address);
  for (const rule of RULES) {
    const difference = rule.score(first) - rule.score(second);
    if (difference < 0) break;
    if (difference > 0) return `before ${other} by rule ${rule.number} of RFC 6724: ${rule.explain(first)}`;
  }
  // Rule 9: within a family, more bits in common with the source address are better.
  if (first.source !== undefined && second.source !== undefined && first.address.family === second.address.family) {
    const bitsInCommon = (from: HostAddress, to: HostAddress): number => commonBits(bytesOf(from), bytesOf(to), 128);
    // The first 96 bits of all mapped IPv4 addresses are equal, and are not counted.
    const prefixBits = first.address.family === AF_INET ? 96 : 0;
    const bits = bitsInCommon(first.source, first.address) - prefixBits;
    if (bits > bitsInCommon(second.source, second.address) - prefixBits) {
      return `before ${other} by rule 9 of RFC 6724: ${bits} bits in common with its source address`;
    }
  }
  return `before ${other} by the order of the resolver`;
}
