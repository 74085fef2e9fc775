// The types of all control messages, received and to send.

import type { ReceivedDescriptors } from "./descriptors.js";
import type { ExtendedErrorMessage } from "./errorQueueMessages.js";
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

/**
 * Descriptors that another process passed: SCM_RIGHTS of unix(7). Those that are not taken are closed with the message.
 */
export interface RightsMessage {
  readonly type: "SCM_RIGHTS";
  readonly fds: ReceivedDescriptors;
}

/**
 * A descriptor of the sending process, like the one that pidfd_open(2) returns, after `SO_PASSPIDFD` was set. None if
 * the kernel could not make it.
 */
export interface PidfdMessage {
  readonly type: "SCM_PIDFD";
  readonly pidfd: ReceivedDescriptors;
}

/** An object with a descriptor, such as every socket of this library. */
export interface HasFileno {
  fileno(): number;
  /** Bytes that a stream has read ahead from the descriptor. While this is above 0, the descriptor is not passed. */
  readonly buffered?: number;
}

/**
 * Descriptors to pass: numbers, or sockets. The receiver gets copies, so the caller can close these after the call. It
 * must not close them during the call.
 */
export interface RightsToSend {
  readonly type: "SCM_RIGHTS";
  readonly fds: readonly (number | HasFileno)[];
}

/** A control message as bytes, because its kind is unknown or its data are too short. */
export interface RawControl {
  readonly level: number;
  /** The number of the kind in its level. Decoded kinds have a name here. */
  readonly type: number;
  readonly data: Uint8Array;
}

/** A control message to send, as bytes. `type` may also be a typed option: `type: IP_TTL`. */
export interface RawControlToSend {
  readonly level: number;
  readonly type: number | { readonly optname: number };
  readonly data: Uint8Array;
}

/** A received control message. `type` says which one. The names are those of the man pages. */
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

/**
 * A control message to send. `type` says which one. Other kinds are sent as `{ level, type, data }`, with numbers and
 * bytes.
 */
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
