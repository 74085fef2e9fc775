// The types of all control messages: received ones, and those to send.

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
 * Descriptors that another process passed: SCM_RIGHTS of unix(7). Disposing of the message closes the descriptors that
 * were not taken.
 */
export interface RightsMessage {
  readonly type: "SCM_RIGHTS";
  readonly fds: ReceivedDescriptors;
}

/**
 * A descriptor that refers to the sending process, like that of pidfd_open(2), after `SO_PASSPIDFD` was set. `pidfd` is
 * empty if the kernel could not create the descriptor.
 */
export interface PidfdMessage {
  readonly type: "SCM_PIDFD";
  readonly pidfd: ReceivedDescriptors;
}

/** An object with a descriptor, such as every socket of this package. */
export interface HasFileno {
  fileno(): number;
  /** Bytes that a stream has read ahead from the descriptor. Above 0, the descriptor can't be passed. */
  readonly buffered?: number;
}

/**
 * Descriptors to pass: numbers, or sockets. The receiver gets copies, so the caller can close its own descriptors after
 * the call, but not during the call.
 */
export interface RightsToSend {
  readonly type: "SCM_RIGHTS";
  readonly fds: readonly (number | HasFileno)[];
}

/** A received control message as bytes, because its kind is unknown or its data are too short. */
export interface RawControl {
  readonly level: number;
  /** The number of the kind in its level. In a decoded message, `type` is the name of the kind. */
  readonly type: number;
  readonly data: Uint8Array;
}

/** A control message to send, as bytes. `type` may also be a typed option: `type: IP_TTL`. */
export interface RawControlToSend {
  readonly level: number;
  readonly type: number | { readonly optname: number };
  readonly data: Uint8Array;
}

/** A received control message. `type` is its kind. The names are those of the man pages. */
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

/** A control message to send. `type` is its kind. For any other kind use {@link RawControlToSend}. */
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
