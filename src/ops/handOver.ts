// Sends an accepted connection to another thread or process over a channel, a pair of SOCK_SEQPACKET sockets. Each
// connection is one packet: the address of the peer, and the descriptor as SCM_RIGHTS.
//
// While a packet is in a receive queue, the kernel keeps the connection open. If a receiving process ends, the
// connections that it has not received stay in the queue, and another process with the same socket receives them.
//
// If the receiver has no free descriptor, the kernel drops the descriptor of the packet and sets MSG_CTRUNC. That would
// reset the connection. So the receiver first reads the packet with MSG_PEEK, which duplicates the descriptor. Then it
// removes the packet. No other read comes between the two, because a channel has one reader at a time.

import { CMSG_LEN, encodeControl } from "../cmsg/index.js";
import { type Operation, operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import { MSG_PEEK } from "../sys/constants.js";
import { EMFILE } from "../sys/errno.js";
import { readInt, view, LITTLE_ENDIAN } from "../sys/nativeInts.js";
import { addressBuffer, addressLength } from "../sys/sockaddr.js";
import { acceptOperations, type ListeningSocket } from "./accept.js";

/** A connection for which no Socket was made. The code that gets the connection must close its descriptor. */
export interface AcceptedConnection {
  readonly fd: number;
  /** The address of the peer, in the layout of `addressBuffer` of sys/sockaddr.ts. */
  readonly address: Uint8Array;
}

/** A copy of the address that the latest call has written to `addressBuffer`. The first 4 bytes are its length. */
const copyAddress = (): Uint8Array => addressBuffer.slice(0, 4 + addressLength());

/** accept4(2), without making a Socket. */
export const ACCEPT_CONNECTION: Operation<ListeningSocket, boolean, AcceptedConnection> =
  acceptOperations<AcceptedConnection>((_family, _type, _protocol, fd) => ({ fd, address: copyAddress() })).socketOnly;

/** A control message with one descriptor, the 32 bits at FD_OFFSET. */
const rights = encodeControl([{ type: "SCM_RIGHTS", fds: [0] }]).bytes;
const rightsView = view(rights);
const FD_OFFSET = CMSG_LEN(0);

/** Sends a connection. The descriptor of the sender stays open. The second operand is not used. */
export const HAND_OVER: Operation<AcceptedConnection, number, number> = operation<AcceptedConnection, number, number>({
  syscall: "sendmsg",
  movesBytes: false,
  attempt: (calls, channel, { fd, address }) => {
    rightsView.setInt32(FD_OFFSET, fd, LITTLE_ENDIAN);
    return calls.sendmsg(channel, [address], 0, 0, null, rights);
  },
  complete: (count) => count,
});

const packet: readonly Uint8Array[] = [addressBuffer];
const control = new Uint8Array(new ArrayBuffer(CMSG_LEN(4)));
/** Memory in which `calls.recvmsg()` stores the length of the control data, and then the flags of the packet. */
const lengthAndFlags = new Uint8Array(8);
/** Memory for the read that removes a packet. */
const firstByte = new Uint8Array(1);

/** The descriptor in the packet that was just received. */
const receivedDescriptor = (): number => readInt(control.subarray(FD_OFFSET, FD_OFFSET + 4));

function tryTakeOver(calls: Calls, channel: number): number {
  const count = calls.recvmsg(channel, packet, MSG_PEEK, null, control, lengthAndFlags);
  if (count <= 0) return count;
  // If the kernel has dropped the descriptor, the control data are shorter. The packet is still in the queue, and a
  // later attempt can receive it.
  if (readInt(lengthAndFlags) < control.length) return EMFILE;
  const removed = calls.recv(channel, firstByte);
  if (removed > 0) return count;
  calls.close(receivedDescriptor());
  return removed;
}

/**
 * Receives a connection. The value is undefined if the sending side was closed and all connections were received. Fails
 * with EMFILE if this process has no free descriptor.
 */
export const TAKE_OVER: Operation<undefined, undefined, AcceptedConnection | undefined> = operation<
  undefined,
  undefined,
  AcceptedConnection | undefined
>({
  syscall: "recvmsg",
  movesBytes: false,
  attempt: tryTakeOver,
  complete: (count) => (count === 0 ? undefined : { fd: receivedDescriptor(), address: copyAddress() }),
});
