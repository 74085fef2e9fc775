// The interface between the recording of calls and a capture.

import type { CallName } from "./callRing.js";
import type { SocketRow } from "./socketRow.js";

/** The data that a call has sent or received. */
export interface MovedBytes {
  readonly call: CallName;
  readonly sent: boolean;
  /** The data, or the part that fitted the buffer. Undefined if the program does not have it, as after sendfile. */
  readonly bytes: Uint8Array | undefined;
  /** The number of bytes that were moved. It may be larger than the length of `bytes`. */
  readonly length: number;
  /** The peer of a datagram, as a sockaddr. */
  readonly address: Uint8Array | undefined;
  /**
   * With UDP_SEGMENT or UDP_GRO in the control data, the data is several datagrams of this size in bytes. 0 if the call
   * has no such control data.
   */
  readonly datagramSize: number;
  /** The line of the program that made the call. */
  readonly line: string | undefined;
}

/** Gets the data that calls move. The capture of the traffic implements this interface. */
export interface DataObserver {
  /** A call has moved data. A batch reports each of its datagrams. */
  onMoved(row: SocketRow, moved: MovedBytes): void;
  /** A read of this socket has returned the end of the stream. */
  onEnd(row: SocketRow, call: CallName, line: string | undefined): void;
  /** A call that moves no data has returned, or a send or receive has failed with an error other than EAGAIN. */
  onCall(row: SocketRow, call: CallName, result: number, detail: string, line: string | undefined): void;
  /** The descriptor is about to be closed. */
  onClosing(row: SocketRow): void;
  /** A message has carried the descriptor to another process or thread. */
  onPassed(row: SocketRow): void;
  /** This thread does not own the descriptor any more: it was closed or given away, or other code has closed it. */
  onRemoved(row: SocketRow): void;
}
