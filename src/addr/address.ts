// The addresses of sockets: a class for each address family, and HostPort for a name that is not resolved yet.
//
// The constructors check nothing, because accept() and recvfrom() make an address for every peer from bytes of the
// kernel, which are valid. toAddress() and parseAddress() check every address that a user passes, also the fields of an
// instance of these classes.
//
// The fields have `declare`. Otherwise each new address would first get `undefined` in all fields, which takes time.

import { AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK } from "./families.js";
import { nameBytes } from "./utf8.js";

/**
 * An IPv4 address and a port, `struct sockaddr_in` of ip(7).
 *
 * @example
 * String(new InetAddress("127.0.0.1", 8888)); // "127.0.0.1:8888"
 */
export class InetAddress {
  declare readonly family: typeof AF_INET;
  /** Four decimal numbers, such as `127.0.0.1`. */
  declare readonly host: string;
  /** 0 to 65535, in the byte order of the host. */
  declare readonly port: number;

  constructor(host: string, port: number) {
    this.family = AF_INET;
    this.host = host;
    this.port = port;
  }

  /** `127.0.0.1:8888`, which `parseAddress()` reads. */
  toString(): string {
    return `${this.host}:${this.port}`;
  }

  toJSON(): { family: number; host: string; port: number } {
    return { family: this.family, host: this.host, port: this.port };
  }
}

/**
 * An IPv6 address and a port, `struct sockaddr_in6` of ipv6(7).
 *
 * @example
 * String(new Inet6Address("fe80::1", 80, 0, 2)); // "[fe80::1%2]:80"
 */
export class Inet6Address {
  declare readonly family: typeof AF_INET6;
  /** The address without a zone, in the form of RFC 5952 when it came from the kernel or the parser. */
  declare readonly host: string;
  /** 0 to 65535, in the byte order of the host. */
  declare readonly port: number;
  /** Traffic class and flow label, 28 bits, in the byte order of the host. */
  declare readonly flowinfo: number;
  /** Index of the interface to which a link-local address belongs; 0 is none. */
  declare readonly scopeid: number;

  constructor(host: string, port: number, flowinfo: number = 0, scopeid: number = 0) {
    this.family = AF_INET6;
    this.host = host;
    this.port = port;
    this.flowinfo = flowinfo;
    this.scopeid = scopeid;
  }

  /** `[::1]:8888` or, with a scope, `[fe80::1%2]:8888`, which `parseAddress()` reads; the flow info is not printed. */
  toString(): string {
    return this.scopeid === 0 ? `[${this.host}]:${this.port}` : `[${this.host}%${this.scopeid}]:${this.port}`;
  }

  toJSON(): { family: number; host: string; port: number; flowinfo: number; scopeid: number } {
    return {
      family: this.family,
      host: this.host,
      port: this.port,
      flowinfo: this.flowinfo,
      scopeid: this.scopeid,
    };
  }
}

/**
 * The name of a UNIX socket, `struct sockaddr_un` of unix(7): a path, an abstract name (`path` starts with NUL), or no
 * name (`path` is empty). An unbound peer has no name, and `bind()` without a name makes the kernel choose one.
 *
 * A name may have any bytes. In `path` a byte that is not UTF-8 is a lone surrogate, U+DC80 for 0x80 to U+DCFF for
 * 0xff, as in Python (PEP 383). So two names never have the same `path`.
 *
 * @example
 * String(new UnixAddress("\0chat")); // "unix:@chat"
 */
export class UnixAddress {
  declare readonly family: typeof AF_UNIX;
  /** The path, or NUL and an abstract name. `toAddress()` accepts at most 107 bytes, not counting that NUL. */
  declare readonly path: string;

  constructor(path: string) {
    this.family = AF_UNIX;
    this.path = path;
  }

  /** The bytes of `path`. Put them into a `Buffer` to pass them to `node:fs`. */
  get bytes(): Uint8Array {
    const bytes = nameBytes(this.path);
    if (bytes !== undefined) return bytes;
    throw new TypeError(
      "Cannot encode a UNIX path: path has a lone surrogate, required none but U+DC80 to U+DCFF " +
        "(for bytes that are not UTF-8)",
    );
  }

  /** `unix:/run/x.sock`, `unix:@abstract` or `unix:`, which `parseAddress()` reads. */
  toString(): string {
    const path = this.path;
    if (path.startsWith("\0")) return `unix:@${path.slice(1)}`;
    // parseAddress() would read "unix://x" as a URL with a host, so the path //x is written "unix:////x".
    if (path.startsWith("//")) return `unix://${path}`;
    // parseAddress() would read "unix:@x" as an abstract name, so the path @x is written "unix:./@x".
    if (path.startsWith("@")) return `unix:./${path}`;
    return `unix:${path}`;
  }

  toJSON(): { family: number; path: string } {
    return { family: this.family, path: this.path };
  }
}

/**
 * A context and a port, `struct sockaddr_vm` of vsock(7). Both have 32 bits.
 *
 * @example
 * String(new VsockAddress(2, 1024)); // "vsock:2:1024"
 */
export class VsockAddress {
  declare readonly family: typeof AF_VSOCK;
  /** Context id: 2 is the host, 1 this machine, 4294967295 any. */
  declare readonly cid: number;
  declare readonly port: number;

  constructor(cid: number, port: number) {
    this.family = AF_VSOCK;
    this.cid = cid;
    this.port = port;
  }

  /** `vsock:2:1024`, which `parseAddress()` reads. */
  toString(): string {
    return `vsock:${this.cid}:${this.port}`;
  }

  toJSON(): { family: number; cid: number; port: number } {
    return { family: this.family, cid: this.cid, port: this.port };
  }
}

/**
 * A netlink port and the multicast groups, `struct sockaddr_nl` of netlink(7). Both have 32 bits.
 *
 * @example
 * String(new NetlinkAddress(0, 1)); // "netlink:0:1"
 */
export class NetlinkAddress {
  declare readonly family: typeof AF_NETLINK;
  /** Port id, often the id of the process. 0 is the kernel; in `bind()`, 0 makes the kernel choose a port id. */
  declare readonly pid: number;
  /** A bit for each multicast group. */
  declare readonly groups: number;

  constructor(pid: number, groups: number) {
    this.family = AF_NETLINK;
    this.pid = pid;
    this.groups = groups;
  }

  /** `netlink:0:1`, which `parseAddress()` reads. */
  toString(): string {
    return `netlink:${this.pid}:${this.groups}`;
  }

  toJSON(): { family: number; pid: number; groups: number } {
    return { family: this.family, pid: this.pid, groups: this.groups };
  }
}

/**
 * A device, and properties of a frame: `struct sockaddr_ll` of packet(7).
 *
 * @example
 * String(new PacketAddress(0x0800, 2, 1, 0, Uint8Array.of(2, 0, 0, 0, 0, 9))); // "packet:2:0x0800:02:00:00:00:00:09"
 */
export class PacketAddress {
  declare readonly family: typeof AF_PACKET;
  /** EtherType (16 bits) in the byte order of the host, such as 0x0800 for IPv4. */
  declare readonly protocol: number;
  /** Index of the interface; 0 is any, or the interface `ifname`. */
  declare readonly ifindex: number;
  /** Name of the interface, which is looked up when the address is used; absent if the index is known. */
  declare readonly ifname?: string;
  /** ARP hardware type (16 bits), 1 for Ethernet. */
  declare readonly hatype: number;
  /** The kind of destination of the frame (8 bits), such as 0 for this host. */
  declare readonly pkttype: number;
  /** The hardware address, 0 to 8 bytes. */
  declare readonly addr: Uint8Array;

  constructor(protocol: number, ifindex: number, hatype: number, pkttype: number, addr: Uint8Array, ifname?: string) {
    this.family = AF_PACKET;
    this.protocol = protocol;
    this.ifindex = ifindex;
    this.hatype = hatype;
    this.pkttype = pkttype;
    this.addr = addr;
    if (ifname !== undefined) this.ifname = ifname;
  }

  /** Interface, protocol and hardware address, for people. `parseAddress()` does not accept it. */
  toString(): string {
    const withoutAddr = `packet:${this.ifname ?? this.ifindex}:0x${this.protocol.toString(16).padStart(4, "0")}`;
    return this.addr.length === 0 ? withoutAddr : `${withoutAddr}:${toHex(this.addr, ":")}`;
  }

  toJSON(): {
    family: number;
    protocol: number;
    ifindex: number | string;
    hatype: number;
    pkttype: number;
    addr: string;
  } {
    return {
      family: this.family,
      protocol: this.protocol,
      ifindex: this.ifname ?? this.ifindex,
      hatype: this.hatype,
      pkttype: this.pkttype,
      addr: toHex(this.addr, ":"),
    };
  }
}

/**
 * The bytes of an address of any family, for families without a class here, or to pass bytes unchanged. Calls pass the
 * bytes to the kernel without a check.
 *
 * @example
 * String(new OpaqueAddress(31, Uint8Array.of(1, 2))); // "family 31:0102"
 */
export class OpaqueAddress {
  /** The number of the family, `sa_family`. */
  declare readonly family: number;
  /** The bytes after `sa_family` in the `sockaddr`. */
  declare readonly data: Uint8Array;

  constructor(family: number, data: Uint8Array) {
    this.family = family;
    this.data = data;
  }

  /** The number of the family and the bytes, for people. `parseAddress()` does not accept it. */
  toString(): string {
    return `family ${this.family}:${toHex(this.data, "")}`;
  }

  toJSON(): { family: number; data: string } {
    return { family: this.family, data: toHex(this.data, "") };
  }
}

/** The address of a socket, as a system call takes or returns it. `family` and the class distinguish the members. */
export type Address =
  | InetAddress
  | Inet6Address
  | UnixAddress
  | VsockAddress
  | NetlinkAddress
  | PacketAddress
  | OpaqueAddress;

/**
 * A port, and a host that the system has to look up: a name for the resolver, the wildcard of the socket's family
 * (`host` is empty), or an IPv6 address whose zone is an interface's name (`zone` is set, `host` is the address).
 *
 * @example
 * String(new HostPort("localhost", 8888)); // "localhost:8888"
 */
export class HostPort {
  declare readonly host: string;
  /** 0 to 65535, in the byte order of the host. */
  declare readonly port: number;
  /** Traffic class and flow label for the IPv6 addresses that the name stands for. */
  declare readonly flowinfo: number;
  /** Index of the interface for the IPv6 addresses that the name stands for; 0 is none. */
  declare readonly scopeid: number;
  /** Name of the interface, from which `if_nametoindex(3)` makes the scope id; absent when there is none. */
  declare readonly zone?: string;

  constructor(host: string, port: number, flowinfo: number = 0, scopeid: number = 0, zone?: string) {
    this.host = host;
    this.port = port;
    this.flowinfo = flowinfo;
    this.scopeid = scopeid;
    if (zone !== undefined) this.zone = zone;
  }

  /** `localhost:8888`, `[fe80::1%eth0]:8888`, or `*:8888` for the wildcard. `parseAddress()` refuses the last one. */
  toString(): string {
    if (this.zone !== undefined) return `[${this.host}%${this.zone}]:${this.port}`;
    return `${this.host === "" ? "*" : this.host}:${this.port}`;
  }

  toJSON(): { host: string; port: number; flowinfo: number; scopeid: number; zone?: string } {
    const withoutZone = { host: this.host, port: this.port, flowinfo: this.flowinfo, scopeid: this.scopeid };
    return this.zone === undefined ? withoutZone : { ...withoutZone, zone: this.zone };
  }
}

/** Whether a value is an instance of one of the address classes; a `HostPort` is not. */
export function isAddress(value: unknown): value is Address {
  return (
    value instanceof InetAddress ||
    value instanceof Inet6Address ||
    value instanceof UnixAddress ||
    value instanceof VsockAddress ||
    value instanceof NetlinkAddress ||
    value instanceof PacketAddress ||
    value instanceof OpaqueAddress
  );
}

function toHex(bytes: Uint8Array, separator: string): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(separator);
}
