// Lists TCP, UDP and raw IP sockets, with `struct inet_diag_req_v2` of `linux/inet_diag.h`.

import {
  AF_INET,
  AF_INET6,
  if_indextoname,
  inet_ntop,
  IPPROTO_RAW,
  IPPROTO_TCP,
  IPPROTO_UDP,
  SocketError,
  TCP_INFO,
} from "berkeley";

import { type Diag, type DiagMessage, Fields } from "./netlink.js";
import { type SocketEnd, type Memory, type SocketInfo, stateOf, type Timer } from "./socketInfo.js";

export type InetKind = "tcp" | "udp" | "raw";

const PROTOCOLS: Readonly<Record<InetKind, number>> = { tcp: IPPROTO_TCP, udp: IPPROTO_UDP, raw: IPPROTO_RAW };

/** The numbers that identify attributes in an answer. */
const INET_DIAG_INFO = 2;
const INET_DIAG_CONG = 4;
const INET_DIAG_SKMEMINFO = 7;
const INET_DIAG_SKV6ONLY = 11;
/** The attributes that a request selects: attribute N (1 to 8) by the bit `1 << (N - 1)`. */
const EXTENSIONS = [INET_DIAG_INFO, INET_DIAG_CONG, INET_DIAG_SKMEMINFO].reduce((bits, n) => bits | (1 << (n - 1)), 0);

/** The sizes of `struct inet_diag_req_v2` and of `struct inet_diag_msg` in bytes. */
const REQUEST_SIZE = 56;
const MESSAGE_SIZE = 72;
/** The offset of `struct inet_diag_sockid` in a message, and below the offsets of the fields of this struct. */
const SOCKID = 4;
const LOCAL_PORT = SOCKID;
const PEER_PORT = SOCKID + 2;
const LOCAL_ADDRESS = SOCKID + 4;
const PEER_ADDRESS = SOCKID + 20;
const INTERFACE = SOCKID + 36;
/** The size of all `SK_MEMINFO_*` fields in bytes. */
export const MEMORY_SIZE = 36;

/** Kinds of timers by their numbers in a message. 0 means that no timer runs. */
const TIMERS: readonly Timer["kind"][] = ["timer 0", "retransmit", "keepalive", "time-wait", "probe"];

/** @param states a mask of the kernel's states */
export async function inetSockets(diag: Diag, kind: InetKind, states: number): Promise<SocketInfo[]> {
  const found: SocketInfo[] = [];
  for (const family of [AF_INET, AF_INET6]) {
    const request = new Fields(Buffer.alloc(REQUEST_SIZE));
    // The fields of `struct inet_diag_req_v2`: family, protocol, extensions, states.
    request.bytes[0] = family;
    request.bytes[1] = PROTOCOLS[kind];
    request.bytes[2] = EXTENSIONS;
    request.putU32(4, states);
    for (const message of await diag.dump(request.bytes, MESSAGE_SIZE)) found.push(socketOf(kind, message));
  }
  return found;
}

/** Decodes a message of the answer. The offsets are those of `struct inet_diag_msg`. */
function socketOf(kind: InetKind, { body, attributes }: DiagMessage): SocketInfo {
  const family = body.u8(0);
  const timer = body.u8(2);
  const isV6Only = family === AF_INET6 && attributes.get(INET_DIAG_SKV6ONLY)?.[0] === 1;
  const { bytes } = body;
  const addressSize = family === AF_INET ? 4 : 16;
  const endAt = (addressOffset: number, portOffset: number, interfaceIndex: number): SocketEnd => {
    const address = bytes.subarray(addressOffset, addressOffset + addressSize);
    return endOf(family, address, body.port(portOffset), interfaceIndex, isV6Only);
  };
  const tcp = attributes.get(INET_DIAG_INFO);
  const congestion = attributes.get(INET_DIAG_CONG);
  const memory = attributes.get(INET_DIAG_SKMEMINFO);
  return {
    kind,
    type: kind,
    state: stateOf(body.u8(1)),
    receiveQueue: body.u32(56),
    sendQueue: body.u32(60),
    local: endAt(LOCAL_ADDRESS, LOCAL_PORT, body.u32(INTERFACE)),
    peer: endAt(PEER_ADDRESS, PEER_PORT, 0),
    uid: body.u32(64),
    inode: body.u32(68),
    ...(timer === 0
      ? {}
      : { timer: { kind: TIMERS[timer] ?? `timer ${timer}`, expires: body.u32(52), retransmits: body.u8(3) } }),
    ...(congestion === undefined ? {} : { congestion: textOf(congestion) }),
    ...(memory === undefined || memory.length < MEMORY_SIZE ? {} : { memory: memoryOf(memory) }),
    // `struct tcp_info` grows with the versions of the kernel. decode() accepts all lengths.
    ...(tcp === undefined || kind !== "tcp" ? {} : { tcp: TCP_INFO.decode(tcp) }),
    users: [],
  };
}

/** Decodes `SK_MEMINFO_*`. A field that the kernel has not sent is 0. */
export function memoryOf(bytes: Buffer): Memory {
  const fields = new Fields(bytes);
  const at = (index: number): number => (bytes.length >= index * 4 + 4 ? fields.u32(index * 4) : 0);
  return {
    receive: at(0),
    receiveLimit: at(1),
    send: at(2),
    sendLimit: at(3),
    forward: at(4),
    queued: at(5),
    options: at(6),
    backlog: at(7),
    drops: at(8),
  };
}

/** An end, with its text as ss(8) prints it. `*` stands for port 0, and for an IPv6 wildcard that also accepts IPv4. */
function endOf(family: number, address: Buffer, port: number, interfaceIndex: number, isV6Only: boolean): SocketEnd {
  const host = inet_ntop(family, address);
  const acceptsBothFamilies = family === AF_INET6 && !isV6Only && host === "::";
  const hostWithBrackets = family === AF_INET6 ? `[${host}]` : host;
  const hostText = acceptsBothFamilies ? "*" : hostWithBrackets;
  const name = interfaceIndex === 0 ? undefined : interfaceOf(interfaceIndex);
  const scope = name === undefined ? "" : `%${name}`;
  return {
    text: `${hostText}${scope}:${port === 0 ? "*" : port}`,
    host,
    port,
    ...(name === undefined ? {} : { interface: name }),
  };
}

function interfaceOf(index: number): string {
  try {
    return if_indextoname(index);
  } catch (error) {
    // The interface was removed, or belongs to another network namespace.
    if (error instanceof SocketError) return `if${index}`;
    throw error;
  }
}

/** The text before the first NUL. */
const textOf = (bytes: Buffer): string => bytes.toString("latin1").replace(/\0.*$/s, "");
