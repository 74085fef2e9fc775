// Finds the other end of a UNIX connection by sock_diag(7), which reports inodes. The addresses do not identify the
// other end, because most UNIX sockets have no name.

import { AF_NETLINK, AF_UNIX } from "../addr/index.js";
import { fs } from "../builtins.js";
import type { Calls } from "../sys/calls.js";
import { MSG_DONTWAIT, NETLINK_SOCK_DIAG, SOCK_RAW } from "../sys/constants.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";

/** Numbers of `linux/sock_diag.h`, `linux/netlink.h` and `linux/unix_diag.h`. */
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
const UDIAG_SHOW_PEER = 4;
const UNIX_DIAG_PEER = 2;
/** The size of `struct nlmsghdr`. */
const HEADER_SIZE = 16;
/** The size of `struct unix_diag_req`. */
const REQUEST_SIZE = 24;
/** The size of `struct unix_diag_msg`. */
const ANSWER_SIZE = 16;

/** The inode of a socket; 0 if the descriptor is closed. */
export function inodeOf(fd: number): number {
  try {
    return fs().fstatSync(fd).ino;
  } catch {
    return 0;
  }
}

/** The inode of the peer of a UNIX socket; 0 without a peer, or if the kernel has no sock_diag for UNIX sockets. */
export function peerInode(kernel: Calls, inode: number): number {
  const fd = kernel.socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
  if (fd < 0) return 0;
  try {
    const request = new Uint8Array(HEADER_SIZE + REQUEST_SIZE);
    const fields = view(request);
    // struct nlmsghdr: the length, the type and the flags.
    fields.setUint32(0, request.length, LITTLE_ENDIAN);
    fields.setUint16(4, SOCK_DIAG_BY_FAMILY, LITTLE_ENDIAN);
    fields.setUint16(6, NLM_F_REQUEST, LITTLE_ENDIAN);
    // struct unix_diag_req: the family, all states, the inode, the requested attribute, and no cookie
    // (INET_DIAG_NOCOOKIE).
    request[HEADER_SIZE] = AF_UNIX;
    fields.setUint32(HEADER_SIZE + 4, 0xffff_ffff, LITTLE_ENDIAN);
    fields.setUint32(HEADER_SIZE + 8, inode, LITTLE_ENDIAN);
    fields.setUint32(HEADER_SIZE + 12, UDIAG_SHOW_PEER, LITTLE_ENDIAN);
    request.fill(0xff, HEADER_SIZE + 16);
    // The answer is in the receive queue when send() returns.
    if (kernel.send(fd, request) < 0) return 0;
    const answer = new Uint8Array(1024);
    return peerOf(answer.subarray(0, Math.max(0, kernel.recv(fd, answer, answer.length, MSG_DONTWAIT))));
  } finally {
    kernel.close(fd);
  }
}

/** Reads the attribute UNIX_DIAG_PEER of an answer; 0 if the attribute is missing. */
function peerOf(answer: Uint8Array): number {
  const fields = view(answer);
  if (answer.length < HEADER_SIZE + ANSWER_SIZE || fields.getUint16(4, LITTLE_ENDIAN) !== SOCK_DIAG_BY_FAMILY) return 0;
  const end = Math.min(answer.length, fields.getUint32(0, LITTLE_ENDIAN));
  // An attribute has its length and its type (2 bytes each), and a value, here of 4 bytes.
  for (let at = HEADER_SIZE + ANSWER_SIZE; at + 8 <= end;) {
    const length = fields.getUint16(at, LITTLE_ENDIAN);
    if (length < 4) return 0;
    if (fields.getUint16(at + 2, LITTLE_ENDIAN) === UNIX_DIAG_PEER) return fields.getUint32(at + 4, LITTLE_ENDIAN);
    // Attributes begin at multiples of 4.
    at += (length + 3) & ~3;
  }
  return 0;
}
