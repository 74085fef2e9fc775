// getaddrinfo(3), getnameinfo(3), gethostbyname(3), getservent(3), getprotoent(3), if_nametoindex(3), inet(3),
// byteorder(3).
import { AF_INET, AF_INET6, AI_NUMERICHOST, NI_NAMEREQD, NI_NUMERICHOST, NI_NUMERICSERV, SOCK_STREAM } from "berkeley";
import { hostname } from "node:os";
import { is, type Page, row } from "../row.js";

const tcp = { type: SOCK_STREAM, family: AF_INET };

export const resolver: Page = {
  page: "getaddrinfo(3), getnameinfo(3), gethostbyname(3)",
  rows: [
    row("getaddrinfo", "a numeric host and a port", is(["127.0.0.1:80"]), async (s) =>
      (await s.api.getaddrinfo("127.0.0.1", 80, tcp)).map(({ address }) => String(address)),
    ),
    row("getaddrinfo", "the name of a service", is(["127.0.0.1:80"]), async (s) =>
      (await s.api.getaddrinfo(null, "http", tcp)).map(({ address }) => String(address)),
    ),
    row("getaddrinfo", "a name though numbers alone are allowed", "EAI_NONAME", (s) =>
      s.api.getaddrinfo("localhost", 80, { flags: AI_NUMERICHOST }),
    ),
    row("getaddrinfo", "the service is unknown", "EAI_SERVICE", (s) =>
      s.api.getaddrinfo("127.0.0.1", "no-such-service", tcp),
    ),
    row("getaddrinfo", "the family is unknown", "EAI_FAMILY", (s) =>
      s.api.getaddrinfo("127.0.0.1", 80, { family: 255 }),
    ),
    row("getaddrinfo", "the type is unknown", "EAI_SOCKTYPE", (s) => s.api.getaddrinfo("127.0.0.1", 80, { type: 99 })),
    row("getaddrinfo", "the flags are unknown", "EAI_BADFLAGS", (s) =>
      s.api.getaddrinfo("127.0.0.1", 80, { flags: 0x4000_0000 }),
    ),
    row("getaddrinfo", "the address is of the other family", "EAI_ADDRFAMILY", (s) =>
      s.api.getaddrinfo("::1", 80, { family: AF_INET }),
    ),
    row("getaddrinfo", "neither host nor service", "EAI_NONAME", (s) => s.api.getaddrinfo(null, null)),
    row("getaddrinfo", "the port is out of range", "RangeError", (s) => s.api.getaddrinfo("127.0.0.1", 65536)),
    row("getaddrinfo", "the host has a NUL", "TypeError", (s) => s.api.getaddrinfo("a\0b", 80)),
    row("getnameinfo", "numbers are asked for", is(["127.0.0.1", "80"]), (s) =>
      s.api.getnameinfo("127.0.0.1:80", NI_NUMERICHOST | NI_NUMERICSERV),
    ),
    row("getnameinfo", "the flags are unknown", "EAI_BADFLAGS", (s) => s.api.getnameinfo("127.0.0.1:80", 0x4000_0000)),
    row(
      "getnameinfo",
      "a path has no name",
      is("localhost"),
      async (s) => (await s.api.getnameinfo({ path: "/x" }, NI_NAMEREQD | NI_NUMERICSERV))[0] && "localhost",
    ),
    row("getnameinfo", "the host is a name", "TypeError", (s) => s.api.getnameinfo(["localhost", 80])),
    row("gethostbyname", "a number is its own address", is("127.0.0.1"), (s) => s.api.gethostbyname("127.0.0.1")),
    row("gethostbyname", "the host is too long", "RangeError", (s) => s.api.gethostbyname("x".repeat(300))),
    row("gethostbyname_ex", "a number is its own name", is(["127.0.0.1", [], ["127.0.0.1"]]), (s) =>
      s.api.gethostbyname_ex("127.0.0.1"),
    ),
    row("gethostbyname_ex", "the host is no text", "TypeError", (s) => s.api.gethostbyname_ex(5 as never)),
    row(
      "gethostbyaddr",
      "the loopback address has a name",
      is(["127.0.0.1"]),
      async (s) => (await s.api.gethostbyaddr("127.0.0.1"))[2],
    ),
    row("gethostbyaddr", "the address has a NUL", "TypeError", (s) => s.api.gethostbyaddr("\0")),
    row("getfqdn", "of this machine there is one", is(true), async (s) => (await s.api.getfqdn()).length > 0),
    row("getfqdn", "the name is no text", "TypeError", (s) => s.api.getfqdn(1 as never)),
  ],
};

export const databases: Page = {
  page: "getservent(3), getprotoent(3), if_nametoindex(3), gethostname(2)",
  rows: [
    row("getservbyname", "the port of a service", is(80), (s) => s.api.getservbyname("http", "tcp")),
    row("getservbyname", "nobody knows it", "ENOENT", (s) => s.api.getservbyname("no-such-service")),
    row("getservbyname", "the name is no text", "TypeError", (s) => s.api.getservbyname(80 as never)),
    row("getservbyport", "the service of a port", is("http"), (s) => s.api.getservbyport(80, "tcp")),
    row("getservbyport", "nobody knows it", "ENOENT", (s) => s.api.getservbyport(4, "tcp")),
    row("getservbyport", "the port is out of range", "RangeError", (s) => s.api.getservbyport(65536)),
    row("getprotobyname", "the number of a protocol", is(6), (s) => s.api.getprotobyname("tcp")),
    row("getprotobyname", "nobody knows it", "ENOENT", (s) => s.api.getprotobyname("no-such-protocol")),
    row("if_nametoindex", "the loopback interface", is(1), (s) => s.api.if_nametoindex("lo")),
    row("if_nametoindex", "there is no such interface", "ENODEV", (s) => s.api.if_nametoindex("nosuch0")),
    row("if_indextoname", "the loopback interface", is("lo"), (s) => s.api.if_indextoname(1)),
    row("if_indextoname", "there is no such interface", "ENXIO", (s) => s.api.if_indextoname(999_999)),
    row("if_nameindex", "the loopback interface is among them", is(true), (s) =>
      s.api.if_nameindex().some(([index, name]) => index === 1 && name === "lo"),
    ),
    row("gethostname", "as the kernel has it", is(hostname()), (s) => s.api.gethostname()),
    row("sethostname", "it needs a privilege", "EPERM", (s) => s.api.sethostname("x"), { apart: true }),
    row("sethostname", "the name is no text", "TypeError", (s) => s.api.sethostname(5 as never)),
  ],
};

export const inet: Page = {
  page: "inet(3), inet_pton(3), byteorder(3), cmsg(3)",
  rows: [
    row("inet_pton", "IPv6", is(16), (s) => s.api.inet_pton(AF_INET6, "::1").length),
    row("inet_pton", "the family is unknown", "EAFNOSUPPORT", (s) => s.api.inet_pton(255, "127.0.0.1")),
    row("inet_pton", "the text is no address", "TypeError", (s) => s.api.inet_pton(AF_INET, "256.0.0.1")),
    row("inet_ntop", "IPv4", is("127.0.0.1"), (s) => s.api.inet_ntop(AF_INET, Uint8Array.of(127, 0, 0, 1))),
    row("inet_ntop", "the family is unknown", "EAFNOSUPPORT", (s) => s.api.inet_ntop(255, new Uint8Array(4))),
    row("inet_ntop", "too few bytes", "RangeError", (s) => s.api.inet_ntop(AF_INET6, new Uint8Array(4))),
    row("inet_aton", "the old forms are read", is([127, 0, 0, 1]), (s) => [...s.api.inet_aton("127.1")]),
    row("inet_aton", "the text is no address", "TypeError", (s) => s.api.inet_aton("1.2.3.4.5")),
    row("inet_ntoa", "four bytes", is("1.2.3.4"), (s) => s.api.inet_ntoa(Uint8Array.of(1, 2, 3, 4))),
    row("inet_ntoa", "five bytes", "RangeError", (s) => s.api.inet_ntoa(new Uint8Array(5))),
    row("htons", "there and back", is(0x1234), (s) => s.api.ntohs(s.api.htons(0x1234))),
    row("htons", "more than 16 bits", "RangeError", (s) => s.api.htons(0x10000)),
    row("ntohs", "a negative number", "RangeError", (s) => s.api.ntohs(-1)),
    row("htonl", "there and back", is(0x12345678), (s) => s.api.ntohl(s.api.htonl(0x12345678))),
    row("htonl", "more than 32 bits", "RangeError", (s) => s.api.htonl(2 ** 32)),
    row("ntohl", "no number", "TypeError", (s) => s.api.ntohl("1" as never)),
    row("has_dualstack_ipv6", "it is true or false", is("boolean"), (s) => typeof s.api.has_dualstack_ipv6()),
    row("CMSG_SPACE", "a number of 4 bytes", is(24), (s) => s.api.CMSG_SPACE(4)),
    row("CMSG_LEN", "a number of 4 bytes", is(20), (s) => s.api.CMSG_LEN(4)),
    row("CMSG_LEN", "a negative length", "RangeError", (s) => s.api.CMSG_LEN(-1)),
  ],
};
