// Lists UNIX sockets, with `struct unix_diag_req` of `linux/unix_diag.h`.

import { AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from "berkeley";

import { MEMORY_SIZE, memoryOf } from "./inet.js";
import { type Diag, type DiagMessage, Fields } from "./netlink.js";
import { type SocketEnd, type SocketInfo, stateOf } from "./socketInfo.js";

/** The numbers that identify attributes in an answer. */
const UNIX_DIAG_NAME = 0;
const UNIX_DIAG_PEER = 2;
const UNIX_DIAG_RQLEN = 4;
const UNIX_DIAG_MEMINFO = 5;
const UNIX_DIAG_UID = 7;
/** The bits of a request that select attributes: name, peer, queues, memory and user. */
const SHOWN_ATTRIBUTES = 0x01 | 0x04 | 0x10 | 0x20 | 0x40;

/** The sizes of `struct unix_diag_req` and of `struct unix_diag_msg` in bytes. */
const REQUEST_SIZE = 24;
const MESSAGE_SIZE = 16;

const TYPES: ReadonlyMap<number, string> = new Map([
  [SOCK_STREAM, "unix stream"],
  [SOCK_DGRAM, "unix datagram"],
  [SOCK_SEQPACKET, "unix seqpacket"],
]);

/** @param states a mask of the kernel's states */
export async function unixSockets(diag: Diag, states: number): Promise<SocketInfo[]> {
  const request = new Fields(Buffer.alloc(REQUEST_SIZE));
  // The fields of `struct unix_diag_req` that are set: family, states, attributes.
  request.bytes[0] = AF_UNIX;
  // Requests all states, because a socket is printed with the name of its peer, and the peer may have another state.
  // The sockets in other states are removed below.
  request.putU32(4, 0xffff_ffff);
  request.putU32(12, SHOWN_ATTRIBUTES);
  const messages = await diag.dump(request.bytes, MESSAGE_SIZE);
  /** The names of all sockets, by inode. */
  const names = new Map<number, string | undefined>();
  for (const { body, attributes } of messages) names.set(body.u32(4), nameOf(attributes.get(UNIX_DIAG_NAME)));
  return messages.filter(({ body }) => (states & (1 << body.u8(2))) !== 0).map((message) => socketOf(message, names));
}

/** Decodes a message of the answer. The offsets are those of `struct unix_diag_msg`. */
function socketOf({ body, attributes }: DiagMessage, names: ReadonlyMap<number, string | undefined>): SocketInfo {
  const inode = body.u32(4);
  const queues = attributes.get(UNIX_DIAG_RQLEN);
  const peer = attributes.get(UNIX_DIAG_PEER);
  const memory = attributes.get(UNIX_DIAG_MEMINFO);
  const uid = attributes.get(UNIX_DIAG_UID);
  const peerInode = peer === undefined ? 0 : new Fields(peer).u32(0);
  return {
    kind: "unix",
    type: TYPES.get(body.u8(1)) ?? `unix type ${body.u8(1)}`,
    state: stateOf(body.u8(2)),
    receiveQueue: queues === undefined ? 0 : new Fields(queues).u32(0),
    sendQueue: queues === undefined ? 0 : new Fields(queues).u32(4),
    local: endOf(inode, names.get(inode)),
    peer: endOf(peerInode, names.get(peerInode)),
    inode,
    ...(uid === undefined ? {} : { uid: new Fields(uid).u32(0) }),
    ...(memory === undefined || memory.length < MEMORY_SIZE ? {} : { memory: memoryOf(memory) }),
    users: [],
  };
}

function endOf(inode: number, path: string | undefined): SocketEnd {
  return { text: `${path ?? "*"} ${inode}`, inode, ...(path === undefined ? {} : { path }) };
}

/** Decodes a name: a path without its final NUL, or an abstract name with `@` instead of its first NUL: unix(7). */
function nameOf(bytes: Buffer | undefined): string | undefined {
  if (bytes === undefined || bytes.length === 0) return undefined;
  if (bytes[0] === 0) return `@${bytes.toString("utf8", 1)}`;
  return bytes.toString("utf8").replace(/\0+$/, "");
}
