// All control messages: what is received, and what can be sent.

import type { ReceivedDescriptors } from "./descriptors.js";
import type { ExtendedErrorMessage } from "./errorMessages.js";
import type {
  DontfragToSend,
  FlowinfoMessage,
  FragsizeMessage,
  HoplimitMessage,
  OrigdstaddrMessage,
  Pktinfo6Message,
  Pktinfo6ToSend,
  PktinfoMessage,
  PktinfoToSend,
  TclassMessage,
  TclassToSend,
  TosMessage,
  TosToSend,
  TtlMessage,
} from "./ipMessages.js";
import type {
  CredentialsMessage,
  CredentialsToSend,
  MarkMessage,
  OverflowMessage,
  TimestampingMessage,
  TimestampMessage,
  TimestampNsMessage,
  TxtimeToSend,
} from "./socketMessages.js";
import type { GroMessage, InqMessage, SegmentToSend } from "./transportMessages.js";

/** Descriptors that another process passed: SCM_RIGHTS of unix(7). Take them, or they are closed with the message. */
export interface RightsMessage {
  readonly type: "SCM_RIGHTS";
  readonly fds: ReceivedDescriptors;
}

/** A descriptor of the sending process, pidfd_open(2), after `SO_PASSPIDFD` was set. It holds one, or none where that failed. */
export interface PidfdMessage {
  readonly type: "SCM_PIDFD";
  readonly pidfd: ReceivedDescriptors;
}

/** What has a descriptor: every socket of this library. */
export interface HasFileno {
  fileno(): number;
  /** Bytes that were read ahead from it and are not the kernel's any more; it is not passed on while there are any. */
  readonly buffered?: number;
}

/**
 * Descriptors to pass: numbers, or sockets. The receiver gets its own, so these can be closed once the message is sent; until
 * then they belong to the call.
 */
export interface RightsToSend {
  readonly type: "SCM_RIGHTS";
  readonly fds: readonly (number | HasFileno)[];
}

/** A control message as its bytes: of a kind that is not known here, or too short for its kind. */
export interface RawControl {
  readonly level: number;
  /** The number of the kind in its level; a kind that is known has its name here. */
  readonly type: number;
  readonly data: Uint8Array;
}

/** A control message as its bytes, to be sent. A typed option stands for its number, as in `getsockopt`: `type: IP_TTL`. */
export interface RawControlToSend {
  readonly level: number;
  readonly type: number | { readonly optname: number };
  readonly data: Uint8Array;
}

/** A control message that came, told apart by `type`. The names are those of the man pages. */
export type ControlMessage =
  | RightsMessage
  | PidfdMessage
  | CredentialsMessage
  | TimestampMessage
  | TimestampNsMessage
  | TimestampingMessage
  | OverflowMessage
  | MarkMessage
  | PktinfoMessage
  | Pktinfo6Message
  | TtlMessage
  | HoplimitMessage
  | TosMessage
  | TclassMessage
  | FlowinfoMessage
  | OrigdstaddrMessage
  | FragsizeMessage
  | ExtendedErrorMessage
  | GroMessage
  | InqMessage
  | RawControl;

/** A control message to send, told apart by `type`; another kind goes as `{ level, type, data }` with numbers and bytes. */
export type ControlToSend =
  | RightsToSend
  | CredentialsToSend
  | MarkMessage
  | TxtimeToSend
  | PktinfoToSend
  | Pktinfo6ToSend
  | TtlMessage
  | HoplimitMessage
  | TosToSend
  | TclassToSend
  | FlowinfoMessage
  | DontfragToSend
  | SegmentToSend
  | RawControlToSend;
