// Lookups that need no server outside this machine.
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AF_UNSPEC,
  AI_ALL,
  AI_CANONNAME,
  AI_NUMERICHOST,
  AI_NUMERICSERV,
  AI_PASSIVE,
  AI_V4MAPPED,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  NI_DGRAM,
  NI_NAMEREQD,
  NI_NOFQDN,
  NI_NUMERICHOST,
  NI_NUMERICSERV,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from "berkeley";
import { type Random } from "../support/random.js";
import type { Question } from "./python.js";

const hosts = [
  "localhost",
  "127.0.0.1",
  "::1",
  "127.1",
  "0x7f.1",
  "fe80::1%lo",
  "fe80::1%7",
  "fe80::1%nosuchif0",
  "",
  null,
];
const services = [null, "", 0, 80, 65535, "80", "0080", "http", "domain", "ntp", "no-such-service", "80x"];
const flags = [
  0,
  AI_PASSIVE,
  AI_CANONNAME,
  AI_NUMERICHOST,
  AI_NUMERICHOST | AI_CANONNAME,
  AI_NUMERICSERV,
  AI_V4MAPPED,
  AI_V4MAPPED | AI_ALL,
  0x10_0000,
];
const kinds: readonly (readonly [type: number, protocol: number])[] = [
  [0, 0],
  [SOCK_STREAM, 0],
  [SOCK_DGRAM, 0],
  [SOCK_RAW, 0],
  [SOCK_RAW, IPPROTO_ICMP],
  [SOCK_SEQPACKET, 0],
  [0, IPPROTO_TCP],
  [SOCK_STREAM, IPPROTO_UDP],
  [99, 0],
];

function* addressQuestions(): Generator<Question> {
  for (const host of hosts) {
    for (const service of services) {
      for (const flag of flags) {
        for (const family of [AF_UNSPEC, AF_INET, AF_INET6]) {
          // The name would be asked of the DNS where /etc/hosts has no address of the family.
          if (host === "localhost" && family === AF_INET6) continue;
          yield ["getaddrinfo", host, service, family, SOCK_STREAM, 0, flag];
        }
      }
    }
    for (const [type, protocol] of kinds) {
      yield ["getaddrinfo", host, null, AF_INET, type, protocol, AI_NUMERICHOST];
      yield ["getaddrinfo", host, "http", AF_INET, type, protocol, AI_NUMERICHOST];
    }
    yield ["getaddrinfo", host, 80, AF_UNIX, 0, 0, 0];
    yield ["getaddrinfo", host, 80, 1234, 0, 0, 0];
  }
}

function* nameQuestions(): Generator<Question> {
  for (const flag of [0, NI_NUMERICSERV, NI_DGRAM, NI_NOFQDN, NI_NAMEREQD, 0x10_0000]) {
    for (const port of [0, 53, 80, 123, 514, 65534]) {
      yield ["getnameinfo", ["127.0.0.1", port], flag];
      yield ["getnameinfo", ["::1", port], flag | NI_NUMERICHOST];
      yield ["getnameinfo", ["fe80::1", port, 0, 1], flag | NI_NUMERICHOST];
    }
  }
}

export const resolverQuestions: readonly Question[] = [
  ...addressQuestions(),
  ...nameQuestions(),
  ["gethostbyname", "localhost"],
  ["gethostbyname", "127.1"],
  ["gethostbyname", ""],
  ["gethostbyname", "<broadcast>"],
  ["gethostbyname", "::1"],
  ["gethostbyname_ex", "localhost"],
  ["gethostbyname_ex", "127.0.0.1"],
  ["gethostbyname_ex", ""],
  ["gethostbyaddr", "127.0.0.1"],
  ["gethostbyaddr", "localhost"],
  ["getfqdn", "localhost"],
  ["getfqdn", "127.0.0.1"],
  ["getfqdn", " localhost "],
];

const protocols = [undefined, "tcp", "udp", "sctp", "nosuch", ""];

function withProtocol(name: string, what: unknown): Question[] {
  return protocols.map((protocol) => (protocol === undefined ? [name, what] : [name, what, protocol]));
}

const names = ["http", "HTTP", "www", "domain", "ntp", "ssh", "echo", "syslog", "shell", "nosuch", "", "80"];
const ports = [0, 1, 7, 22, 53, 80, 123, 443, 514, 9999, 65535];

const quads = [
  "0.0.0.0",
  "127.0.0.1",
  "255.255.255.255",
  "1.2.3.4",
  "256.1.1.1",
  "1.2.3",
  "1.2.3.4.5",
  "01.2.3.4",
  "1.2.3.04",
  "1..2.3",
  ".1.2.3",
  "1.2.3.",
  "+1.2.3.4",
  "0x1.2.3.4",
  " 1.2.3.4",
  "١.2.3.4",
  "",
  "a",
];
const olds = [
  "127.1",
  "1.2.3",
  "0177.0.0.1",
  "0x7f.1",
  "0X7F.1",
  "4294967295",
  "4294967296",
  "08",
  "0x",
  "1.",
  "1.16777216",
  "0",
];

export const localQuestions: readonly Question[] = [
  ...names.flatMap((name) => withProtocol("getservbyname", name)),
  ...ports.flatMap((port) => withProtocol("getservbyport", port)),
  ["getservbyport", -1],
  ["getservbyport", 65536],
  ...["tcp", "TCP", "udp", "icmp", "ipv6-icmp", "ip", "nosuch", ""].map((name): Question => ["getprotobyname", name]),
  ["if_nameindex"],
  ...["lo", "", "nosuchif0", "a-name-that-is-longer-than-any-interface"].map((name): Question => [
    "if_nametoindex",
    name,
  ]),
  ...[1, 0, 4_000_000_000].map((index): Question => ["if_indextoname", index]),
  ["gethostname"],
  ["has_dualstack_ipv6"],
  ...quads.flatMap((text): Question[] => [
    ["inet_pton", AF_INET, text],
    ["inet_pton", AF_INET6, text],
    ["inet_pton", AF_INET6, `::${text}`],
    ["inet_pton", AF_INET6, `1:2:3:4:5:6:${text}`],
  ]),
  ...[...quads, ...olds].filter((text) => !text.includes(" ")).map((text): Question => ["inet_aton", text]),
  ["inet_pton", AF_UNIX, "x"],
  ...["", "7f000001", "ffffffff", "00000000", "7f0000", "7f00000100"].flatMap((hex): Question[] => [
    ["inet_ntop", AF_INET, { hex }],
    ["inet_ntoa", { hex }],
  ]),
  ...[0, 1, 0x1234, 0xffff, -1, 0x1_0000].flatMap((value): Question[] => [
    ["htons", value],
    ["ntohs", value],
  ]),
  ...[0, 1, 0x1234_5678, 0xffff_ffff, -1, 0x1_0000_0000].flatMap((value): Question[] => [
    ["htonl", value],
    ["ntohl", value],
  ]),
];

/** Random addresses in text and in bytes. */
export const randomQuestions = (random: Random): readonly Question[] => [
  ...inet6Texts(random).map((text): Question => ["inet_pton", AF_INET6, text]),
  ...inet6Bytes(random).map((hex): Question => ["inet_ntop", AF_INET6, { hex }]),
];

/** Texts made of the pieces of IPv6 addresses: most are none, in all ways. */
function inet6Texts(next: Random): string[] {
  const pieces = ["::", ":", "0", "1", "abcd", "FFFF", "00ab", "12345", "g", ":", ":", "1.2.3.4", "%1", ":0"];
  const texts = Array.from({ length: 1500 }, () =>
    Array.from({ length: 1 + next(16) }, () => pieces[next(pieces.length)]!).join(""),
  );
  const groups = Array.from({ length: 500 }, () =>
    Array.from({ length: 7 + next(3) }, () => next(0x1_0000).toString(16)).join(next(20) === 0 ? "::" : ":"),
  );
  return [...texts, ...groups, "::", "::1", "1::", ":::", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::2::3"];
}

/** Addresses with runs of zeros; not those that the C library writes with an IPv4 address and RFC 5952 without. */
function inet6Bytes(next: Random): string[] {
  const random = Array.from({ length: 500 }, () =>
    Array.from({ length: 8 }, () => (next(2) === 0 ? 0 : next(4) === 0 ? 1 : next(0x1_0000)))
      .map((group) => group.toString(16).padStart(4, "0"))
      .join(""),
  ).filter((hex) => !/^0{24}(?!0{7}1$|0{8}$)/.test(hex));
  return [...random, "00".repeat(16), `${"00".repeat(15)}01`, `${"00".repeat(10)}ffff01020304`];
}
