// Receives a datagram of any size without truncating it.
//
// A UDP or raw IP packet has at most 65,535 bytes, which fit into the slab, the shared memory of recv.ts. A datagram of
// another family can be longer: on a UNIX socket its limit is the send buffer of the sender. So a first recv(2) with
// MSG_PEEK and MSG_TRUNC returns the length, and a second call receives. Both calls are one attempt, so no other read
// of this socket comes in between.

import { AF_INET, AF_INET6, type Address } from "../addr/index.js";
import { type Operation, operation } from "../reactor/operation.js";
import { MSG_PEEK, MSG_TRUNC, SOCK_STREAM } from "../sys/constants.js";
import { addressBuffer, decodeAddressBuffer } from "../sys/sockaddr.js";
import type { WaitOptions } from "../wait/waitOptions.js";
import { copyFromSlab, RECVFROM, slab, SLAB_SIZE } from "./recv.js";
import type { Mode, Outcome, Runner } from "./runner.js";

interface WholeRead {
  /** The memory for a datagram that does not fit into the slab; otherwise undefined. */
  large: Buffer | undefined;
}

export const RECV_WHOLE: Operation<WholeRead, number, [Buffer, Address]> = operation<
  WholeRead,
  number,
  [Buffer, Address]
>({
  syscall: "recvfrom",
  movesBytes: true,
  attempt: (calls, fd, read) => {
    // Copies only one byte, but with MSG_TRUNC the result is the length of the whole datagram.
    const length = calls.recv(fd, slab, 1, MSG_PEEK | MSG_TRUNC);
    if (length < 0) return length;
    // A protocol that ignores MSG_TRUNC returns 1 here. No such protocol has datagrams larger than the slab.
    read.large = length <= SLAB_SIZE ? undefined : Buffer.allocUnsafeSlow(length);
    const memory = read.large ?? slab;
    return calls.recvfrom(fd, memory, memory.length, 0, addressBuffer);
  },
  complete: (count, { large }) => [
    large === undefined ? copyFromSlab(count) : large.subarray(0, count),
    decodeAddressBuffer(),
  ],
});

/** Throws for a stream socket, because its reads return pieces of a stream. */
export function checkDatagrams(socket: Runner<Mode>): void {
  if (socket.type !== SOCK_STREAM) return;
  throw new TypeError(
    `Cannot read datagrams: the socket is of type ${socket.type}, required a datagram socket; use stream()`,
  );
}

/** Receives the next datagram and the address of its sender. */
export function recvWhole<M extends Mode>(
  socket: Runner<M>,
  opts: WaitOptions | undefined,
): Outcome<M, [Buffer, Address]> {
  try {
    if (socket.family === AF_INET || socket.family === AF_INET6) return socket.receive(RECVFROM, SLAB_SIZE, 0, opts);
    return socket.receive(RECV_WHOLE, { large: undefined }, 0, opts);
  } catch (error) {
    return socket.fail(error);
  }
}
