// The counters of a UDP server, and the fields that describe it.

import type { Description } from "../registry/index.js";

/** The counters of a `UdpServer`. */
export interface UdpServerStats {
  /** Datagrams that were passed to the handler. */
  readonly accepted: number;
  /** Datagrams that were received, and dropped because of an address list or a limit. */
  readonly refused: number;
  /** The refused datagrams that exceeded `ratePerAddress`. */
  readonly ratePerAddress: number;
  /** Handlers whose promise is pending now. */
  readonly pending: number;
  /** Handlers that have failed. */
  readonly failed: number;
  /** Handlers on which the server has given up because of `drain()` or `close()`. */
  readonly aborted: number;
  /** Handlers on which the server has given up because of `handlerTimeout`. */
  readonly handlerTimeout: number;
  /** Replies that the kernel has taken. */
  readonly sent: number;
  /** Replies that the kernel has refused. */
  readonly sendErrors: number;
  /** Replies that were dropped because too many waited to be sent, or because the server was closed. */
  readonly repliesDropped: number;
  /** Replies that were refused because of `amplification`. */
  readonly amplification: number;
  /** Errors that the kernel has reported instead of a datagram, such as those of ICMP. */
  readonly receiveErrors: number;
  /** Datagrams that the kernel has dropped because the receive buffer was full. */
  readonly dropped: number;
  /** Bytes of the accepted datagrams, and of the replies. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly state: "listening" | "draining" | "closed";
}

/** The fields of a `UdpServer` in JSON. */
export interface UdpServerDescription extends Description {
  readonly kind: "UdpServer";
  readonly state: string;
  readonly local: string;
  readonly handlers: number;
}
