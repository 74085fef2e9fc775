// Explains the order of a resolver's addresses by the rules of RFC 6724, section 6, with its default table.
//
// getaddrinfo(3) has sorted the addresses, perhaps with another table (gai.conf(5)). If the first rule that applies
// would give another order, the explanation is "by the order of the resolver".

import { AF_INET, inet_pton, AF_INET6 } from "berkeley";

import { type HostAddress, hostOf } from "../frame/hosts.js";

export interface Candidate {
  readonly address: HostAddress;
  /** The source address; undefined without a route. */
  readonly source: HostAddress | undefined;
}

/** Prefix, length of the prefix, precedence and label: section 2.1. */
const TABLE = [
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

const LINK_LOCAL = 2;
const SITE_LOCAL = 5;
const GLOBAL = 14;
const SCOPES: ReadonlyMap<number, string> = new Map([
  [LINK_LOCAL, "link-local"],
  [SITE_LOCAL, "site-local"],
  [GLOBAL, "global"],
]);

/** The 16 bytes of an address. An IPv4 address is mapped to IPv6 (section 2.1). */
function bytesOf(address: HostAddress): Buffer {
  if (address.family === AF_INET)
    return Buffer.concat([inet_pton(AF_INET6, "::ffff:0:0").subarray(0, 12), inet_pton(AF_INET, address.host)]);
  return inet_pton(AF_INET6, address.host);
}

function commonBits(a: Buffer, b: Buffer, length: number): number {
  for (let bit = 0; bit < length; bit++) {
    const mask = 0x80 >> (bit & 7);
    if (((a[bit >> 3]! ^ b[bit >> 3]!) & mask) !== 0) return bit;
  }
  return length;
}

function policyOf(address: HostAddress): { precedence: number; label: number } {
  const bytes = bytesOf(address);
  // The table is sorted: longer prefixes first.
  for (const [prefix, length, precedence, label] of TABLE) {
    if (commonBits(bytes, inet_pton(AF_INET6, prefix), length) === length) return { precedence, label };
  }
  return { precedence: 40, label: 1 };
}

/** The scope of an address: section 3.1, for IPv4 section 3.2. */
function scopeOf(address: HostAddress): number {
  const bytes = bytesOf(address);
  if (address.family === AF_INET) {
    const [a, b] = [bytes[12], bytes[13]];
    return a === 127 || (a === 169 && b === 254) ? LINK_LOCAL : GLOBAL;
  }
  if (bytes[0] === 0xff) return bytes[1]! & 0xf;
  if (address.host === "::1" || (bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80)) return LINK_LOCAL;
  return bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0xc0 ? SITE_LOCAL : GLOBAL;
}

const scopeName = (scope: number): string => SCOPES.get(scope) ?? `scope ${scope}`;

interface Rule {
  readonly number: number;
  /** The candidate with the higher score comes first. */
  score(candidate: Candidate): number;
  /** Why `better` comes first. */
  explain(better: Candidate): string;
}

/** Rules 3, 4 and 7 are left out: they are about deprecated addresses, home addresses and tunnels. Rule 9 is below. */
const RULES: readonly Rule[] = [
  { number: 1, score: ({ source }) => Number(source !== undefined), explain: () => "the other has no route" },
  {
    number: 2,
    score: ({ address, source }) => Number(source !== undefined && scopeOf(source) === scopeOf(address)),
    explain: ({ address }) => `its source address has its scope, ${scopeName(scopeOf(address))}`,
  },
  {
    number: 5,
    score: ({ address, source }) => Number(source !== undefined && policyOf(source).label === policyOf(address).label),
    explain: ({ address }) => `its source address has its label, ${policyOf(address).label}`,
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
  const { source: a } = first;
  const { source: b } = second;
  if (a !== undefined && b !== undefined && first.address.family === second.address.family) {
    const bitsInCommon = (from: HostAddress, to: HostAddress): number => commonBits(bytesOf(from), bytesOf(to), 128);
    // The first 96 bits of all mapped IPv4 addresses are equal.
    const offset = first.address.family === AF_INET ? 96 : 0;
    const bits = bitsInCommon(a, first.address) - offset;
    if (bits > bitsInCommon(b, second.address) - offset) {
      return `before ${other} by rule 9 of RFC 6724: ${bits} bits in common with its source address`;
    }
  }
  return `before ${other} by the order of the resolver`;
}
