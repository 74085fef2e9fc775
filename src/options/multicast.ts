// The structs of multicast options: ip_mreqn, ip_mreq_source, ip_msfilter, ipv6_mreq, group_req, group_source_req,
// group_filter. See ip(7), ipv6(7), RFC 3678.
//
// The structs whose names begin with "group" contain a sockaddr_storage, so they are for IPv4 and IPv6. Their options
// have the same number in the levels IPPROTO_IP and IPPROTO_IPV6. The family of the group determines the level.

import { formatIPv4 } from "../addr/index.js";
import { quote } from "../check/index.js";
import { IPPROTO_IP, IPPROTO_IPV6, MCAST_EXCLUDE, MCAST_INCLUDE, SIZEOF_SIZE_T } from "../sys/constants.js";
import { LITTLE_ENDIAN, uintBytes, view } from "../sys/nativeInts.js";
import { unsupportedConversion, writeOnlyOption, type SocketOption, numberMember } from "./option.js";
import {
  arrayMember,
  interfaceMember,
  ipv4Member,
  ipv6Member,
  isIPv6Storage,
  concatenate,
  checkMembers,
  storageHost,
  STORAGE_SIZE,
  storageMember,
} from "./memberChecks.js";
import type { NetworkInterface } from "../sys/interfaceIndex.js";

/**
 * A membership in an IPv4 group: `struct ip_mreqn`. Without `interface` and `address` the system chooses the interface.
 */
export interface Ipv4Membership {
  /** Numeric address of the group, 224.0.0.0 to 239.255.255.255. */
  readonly group: string;
  /** The local interface. */
  readonly interface?: NetworkInterface;
  /** One of the addresses of the local interface; `interface` has precedence. */
  readonly address?: string;
}

/** A source of an IPv4 group: `struct ip_mreq_source`. */
export interface Ipv4Source {
  /** Numeric address of the group. */
  readonly group: string;
  /** Numeric address of the sender. */
  readonly source: string;
  /** One of the addresses of the local interface. If it is absent, the system chooses the interface. */
  readonly address?: string;
}

/** The sources of an IPv4 group from which the socket receives: `struct ip_msfilter`. */
export interface Ipv4SourceFilter {
  /** Numeric address of the group. */
  readonly group: string;
  /** One of the addresses of the local interface. If it is absent, the system chooses the interface. */
  readonly address?: string;
  /** `MCAST_INCLUDE`: receives only from `sources`. `MCAST_EXCLUDE`: receives from all sources except `sources`. */
  readonly mode: number;
  /** Numeric addresses. */
  readonly sources: readonly string[];
}

/** A membership in an IPv6 group: `struct ipv6_mreq`. Without `interface` the system chooses the interface. */
export interface Ipv6Membership {
  /** Numeric address of the group, in ff00::/8, without a zone. */
  readonly group: string;
  readonly interface?: NetworkInterface;
}

/** An IPv6 anycast address to join or leave: `struct ipv6_mreq`. */
export interface Ipv6Anycast {
  /** Numeric address, without a zone. */
  readonly address: string;
  readonly interface?: NetworkInterface;
}

/** A membership in a group of either family: `struct group_req`. */
export interface GroupMembership {
  /** Numeric IPv4 or IPv6 address of the group, without a zone. */
  readonly group: string;
  readonly interface?: NetworkInterface;
}

/** A source of a group of either family: `struct group_source_req`. */
export interface GroupSource extends GroupMembership {
  /** Numeric address of the sender, of the same family. */
  readonly source: string;
}

/** The sources of a group of either family from which the socket receives: `struct group_filter`. */
export interface GroupSourceFilter extends GroupMembership {
  /** `MCAST_INCLUDE`: receives only from `sources`. `MCAST_EXCLUDE`: receives from all sources except `sources`. */
  readonly mode: number;
  /** Numeric addresses of the same family. */
  readonly sources: readonly string[];
}

/** As the address of an interface: the system chooses the interface. */
const ANY = "0.0.0.0";

// Functions that encode or decode the value of an option. Their parameter `option` is its name, for messages.

export function encodeIpv4Membership(option: string, value: Ipv4Membership): Uint8Array {
  const { group, interface: iface = 0, address = ANY } = checkMembers(option, value, ["group", "interface", "address"]);
  return concatenate(
    ipv4Member(option, "group", group),
    ipv4Member(option, "address", address),
    uintBytes(interfaceMember(option, "interface", iface)),
  );
}

export function encodeIpv4Source(option: string, value: Ipv4Source): Uint8Array {
  const { group, source, address = ANY } = checkMembers(option, value, ["group", "source", "address"]);
  return concatenate(
    ipv4Member(option, "group", group),
    ipv4Member(option, "address", address),
    ipv4Member(option, "source", source),
  );
}

/** Encodes the mode of a filter. MCAST_EXCLUDE is 0 and MCAST_INCLUDE is 1, so a range check is enough. */
function encodeMode(option: string, mode: unknown): Uint8Array {
  return uintBytes(numberMember(option, "mode", mode, MCAST_EXCLUDE, MCAST_INCLUDE));
}

/** Bytes of struct ip_msfilter before the sources. */
const IPV4_FILTER_SIZE = 16;

function encodeIpv4Filter(option: string, value: Ipv4SourceFilter): Uint8Array {
  const { group, address = ANY, mode, sources } = checkMembers(option, value, ["group", "address", "mode", "sources"]);
  const list = arrayMember(option, "sources", sources);
  return concatenate(
    ipv4Member(option, "group", group),
    ipv4Member(option, "address", address),
    encodeMode(option, mode),
    uintBytes(list.length),
    ...list.map((source, index) => ipv4Member(option, `sources[${index}]`, source)),
  );
}

function decodeIpv4Filter(bytes: Uint8Array): Ipv4SourceFilter {
  const data = view(bytes);
  // The kernel returns the number of all sources, even of those that did not fit into the buffer.
  const count = Math.min(data.getUint32(12, LITTLE_ENDIAN), Math.floor((bytes.length - IPV4_FILTER_SIZE) / 4));
  return {
    group: formatIPv4(bytes, 0),
    address: formatIPv4(bytes, 4),
    mode: data.getUint32(8, LITTLE_ENDIAN),
    sources: Array.from({ length: count }, (_, index) => formatIPv4(bytes, IPV4_FILTER_SIZE + 4 * index)),
  };
}

/** Maximum number of sources that `getsockopt` reads of a filter. Linux allows fewer by default. */
const MAX_SOURCES = 128;

/** The option to set a filter of sources. `of` returns the option to read the filter of a group. */
export interface Ipv4SourceFilterOption extends SocketOption<never, Ipv4SourceFilter> {
  /**
   * Returns the option to read the filter of `group` on the interface that has `address`:
   * `getsockopt(IP_MSFILTER.of("239.1.2.3", "127.0.0.1"))`.
   */
  readonly of: (group: string, address?: string) => SocketOption<Ipv4SourceFilter, never>;
}

export function ipv4SourceFilterOption(name: string, level: number, optname: number): Ipv4SourceFilterOption {
  return {
    ...writeOnlyOption(name, level, optname, encodeIpv4Filter),
    of: (group, address = ANY) => ({
      name,
      level,
      optname,
      size: IPV4_FILTER_SIZE + 4 * MAX_SOURCES,
      decode: decodeIpv4Filter,
      encode: unsupportedConversion(name, "set"),
      query: concatenate(
        ipv4Member(name, "group", group),
        ipv4Member(name, "address", address),
        // The mode, which the kernel ignores here, and the number of sources that fit into the buffer.
        uintBytes(0),
        uintBytes(MAX_SOURCES),
      ),
    }),
  };
}

export function encodeIpv6Membership(option: string, value: Ipv6Membership): Uint8Array {
  const { group, interface: iface = 0 } = checkMembers(option, value, ["group", "interface"]);
  return concatenate(ipv6Member(option, "group", group), uintBytes(interfaceMember(option, "interface", iface)));
}

export function encodeIpv6Anycast(option: string, value: Ipv6Anycast): Uint8Array {
  const { address, interface: iface = 0 } = checkMembers(option, value, ["address", "interface"]);
  return concatenate(ipv6Member(option, "address", address), uintBytes(interfaceMember(option, "interface", iface)));
}

/**
 * Offset of the group's sockaddr_storage. The 32 bits of the interface precede it, and padding where a size_t has 64
 * bits.
 */
const GROUP_OFFSET = SIZEOF_SIZE_T;

/** The level for the family of the group in an encoded struct. */
function levelOfGroup(bytes: Uint8Array): number {
  return isIPv6Storage(bytes, GROUP_OFFSET) ? IPPROTO_IPV6 : IPPROTO_IP;
}

/** Encodes the first members of all group structs: the index of the interface, padding, the group. */
function groupStart(
  option: string,
  group: unknown,
  iface: unknown,
): [index: Uint8Array, padding: Uint8Array, groupStorage: Uint8Array] {
  const storage = storageMember(option, "group", group);
  return [uintBytes(interfaceMember(option, "interface", iface)), new Uint8Array(GROUP_OFFSET - 4), storage];
}

/** The sockaddr_storage of a source. The source must have the family of the group. */
function sourceStorage(option: string, member: string, groupStorage: Uint8Array, value: unknown): Uint8Array {
  const storage = storageMember(option, member, value);
  if (isIPv6Storage(storage, 0) !== isIPv6Storage(groupStorage, 0)) {
    throw new TypeError(
      `Cannot set ${option}: ${member} is ${quote(value)}, ` +
        `required an address of the same family as group, which is ${quote(storageHost(groupStorage, 0))}`,
    );
  }
  return storage;
}

export function encodeGroupMembership(option: string, value: GroupMembership): Uint8Array {
  const { group, interface: iface = 0 } = checkMembers(option, value, ["group", "interface"]);
  return concatenate(...groupStart(option, group, iface));
}

export function encodeGroupSource(option: string, value: GroupSource): Uint8Array {
  const { group, interface: iface = 0, source } = checkMembers(option, value, ["group", "interface", "source"]);
  const start = groupStart(option, group, iface);
  const [, , groupStorage] = start;
  return concatenate(...start, sourceStorage(option, "source", groupStorage, source));
}

// Offsets in struct group_filter. After the mode come 32 bits with the number of sources.
const FILTER_MODE = GROUP_OFFSET + STORAGE_SIZE;
const FILTER_SOURCES = FILTER_MODE + 8;

function encodeGroupFilter(option: string, value: GroupSourceFilter): Uint8Array {
  const members = ["group", "interface", "mode", "sources"];
  const { group, interface: iface = 0, mode, sources } = checkMembers(option, value, members);
  const start = groupStart(option, group, iface);
  const [, , groupStorage] = start;
  const list = arrayMember(option, "sources", sources);
  return concatenate(
    ...start,
    encodeMode(option, mode),
    uintBytes(list.length),
    ...list.map((source, i) => sourceStorage(option, `sources[${i}]`, groupStorage, source)),
  );
}

function decodeGroupFilter(bytes: Uint8Array): GroupSourceFilter {
  const data = view(bytes);
  const count = Math.min(
    data.getUint32(FILTER_MODE + 4, LITTLE_ENDIAN),
    Math.floor((bytes.length - FILTER_SOURCES) / STORAGE_SIZE),
  );
  return {
    group: storageHost(bytes, GROUP_OFFSET),
    interface: data.getUint32(0, LITTLE_ENDIAN),
    mode: data.getUint32(FILTER_MODE, LITTLE_ENDIAN),
    sources: Array.from({ length: count }, (_, index) => storageHost(bytes, FILTER_SOURCES + STORAGE_SIZE * index)),
  };
}

/** The option to set a filter of sources. `of` returns the option to read the filter of a group. */
export interface GroupSourceFilterOption extends SocketOption<never, GroupSourceFilter> {
  /**
   * Returns the option to read the filter of `group` on `interface`: `getsockopt(MCAST_MSFILTER.of("ff15::1", "lo"))`.
   * Throws a SocketError with `ENODEV` for an unknown interface.
   */
  readonly of: (group: string, interface_?: NetworkInterface) => SocketOption<GroupSourceFilter, never>;
}

export function groupSourceFilterOption(name: string, optname: number): GroupSourceFilterOption {
  return {
    ...groupOption(name, optname, encodeGroupFilter),
    of: (group, iface = 0) => {
      // The mode, which the kernel ignores here, and the number of sources that fit into the buffer.
      const query = concatenate(...groupStart(name, group, iface), uintBytes(0), uintBytes(MAX_SOURCES));
      return {
        name,
        level: levelOfGroup(query),
        optname,
        size: FILTER_SOURCES + STORAGE_SIZE * MAX_SOURCES,
        decode: decodeGroupFilter,
        encode: unsupportedConversion(name, "set"),
        query,
      };
    },
  };
}

/** An option that has the same number in the levels of both families. The family of the group determines the level. */
export function groupOption<Set>(
  name: string,
  optname: number,
  encode: (option: string, value: Set) => Uint8Array,
): SocketOption<never, Set> {
  return writeOnlyOption(name, IPPROTO_IP, optname, encode, levelOfGroup);
}
