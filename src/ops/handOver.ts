// Handing an accepted connection over to another thread or process: one packet for each connection, over a pair of
// SOCK_SEQPACKET sockets. The packet has the address of the peer, and the descriptor as SCM_RIGHTS.
//
// While a packet is in the pair, the kernel holds the connection. So a receiver that ends loses no connection that it
// has not taken: another holder of the receiving end takes it.
//
// If the receiver has no free descriptor, the kernel drops the descriptors of a packet and sets MSG_CTRUNC. That would
// reset the connection. So the receiver peeks first, which duplicates the descriptor, and removes the packet after
// that. The two calls are one step: the receiving end has one reader at a time.

import { CMSG_LEN, encodeControl } from "../cmsg/index.js";
import { type Operation, operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import { MSG_PEEK } from "../sys/constants.js";
import { EMFILE } from "../sys/errno.js";
import { readInt, view, LITTLE } from "../sys/nativeInts.js";
import { addressBuffer, addressLength } from "../sys/sockaddr.js";
import { acceptOperations, type Listening } from "./accept.js";

/** A connection without an object: its descriptor, which this environment owns, and the address of its peer. */
export interface AcceptedConnection {
  readonly fd: number;
  /** The layout is that of `addressBuffer` of sys/sockaddr.ts. */
  readonly address: Uint8Array;
}

/** A copy of the address that the last call has written. */
const addressCopy = (): Uint8Array => addressBuffer.slice(0, 4 + addressLength());

/** accept4(2). */
export const ACCEPT_CONNECTION: Operation<Listening, boolean, AcceptedConnection> =
  acceptOperations<AcceptedConnection>((_family, _type, _protocol, fd) => ({ fd, address: addressCopy() })).socketOnly;

/** A control message with one descriptor. HAND_OVER writes the descriptor at FD_OFFSET. */
const rights = encodeControl([{ type: "SCM_RIGHTS", fds: [0] }]).bytes;
const rightsView = view(rights);
const FD_OFFSET = CMSG_LEN(0);

/** Sends a connection. The sender still has its descriptor afterwards. */
export const HAND_OVER: Operation<AcceptedConnection, number, number> = operation<AcceptedConnection, number, number>({
  syscall: "sendmsg",
  movesBytes: false,
  attempt: (calls, channel, { fd, address }) => {
    rightsView.setInt32(FD_OFFSET, fd, LITTLE);
    return calls.sendmsg(channel, [address], 0, 0, null, rights);
  },
  complete: (count) => count,
});

const packet: readonly Uint8Array[] = [addressBuffer];
const control = new Uint8Array(new ArrayBuffer(CMSG_LEN(4)));
const received = new Uint8Array(8);
const dropped = new Uint8Array(1);

/** The descriptor of the last packet. */
const descriptorTaken = (): number => readInt(control.subarray(FD_OFFSET, FD_OFFSET + 4));

function tryTakeOver(calls: Calls, channel: number): number {
  const count = calls.recvmsg(channel, packet, MSG_PEEK, null, control, received);
  if (count <= 0) return count;
  // The packet stays in the pair.
  if (readInt(received) < control.length) return EMFILE;
  const removed = calls.recv(channel, dropped);
  if (removed > 0) return count;
  calls.close(descriptorTaken());
  return removed;
}

/** Takes a connection; undefined when the other end has sent all. Fails with EMFILE while descriptors are short. */
export const TAKE_OVER: Operation<undefined, undefined, AcceptedConnection | undefined> = operation<
  undefined,
  undefined,
  AcceptedConnection | undefined
>({
  syscall: "recvmsg",
  movesBytes: false,
  attempt: tryTakeOver,
  complete: (count) => (count === 0 ? undefined : { fd: descriptorTaken(), address: addressCopy() }),
});
