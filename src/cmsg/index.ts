// Typed control messages, received and to send, and the received messages that contain them.

export { decodeControl, descriptorsOf } from "./decode.js";
export { ReceivedDescriptors } from "./descriptors.js";
export { encodeControl, EncodedControl } from "./encode.js";
export { type ExtendedErrorMessage } from "./errorQueueMessages.js";
export {
  type DontfragToSend,
  type FlowinfoMessage,
  type FragsizeMessage,
  type HoplimitMessage,
  type OrigdstaddrMessage,
  type Pktinfo6Message,
  type Pktinfo6ToSend,
  type PktinfoMessage,
  type PktinfoToSend,
  type TclassMessage,
  type TclassToSend,
  type TosMessage,
  type TosToSend,
  type TtlMessage,
} from "./ipMessages.js";
export { CMSG_LEN, CMSG_SPACE, MAX_CONTROL } from "./layout.js";
export { Message, MessageHeader, takeHeader, tryRecvmsg } from "./message.js";
export {
  type CredentialsMessage,
  type CredentialsToSend,
  type MarkMessage,
  type OverflowMessage,
  type TimestampingMessage,
  type TimestampMessage,
  type TimestampNsMessage,
  type Timespec,
  type TxtimeToSend,
} from "./socketMessages.js";
export { type GroMessage, type InqMessage, type SegmentToSend } from "./transportMessages.js";
export {
  type ControlMessage,
  type ControlToSend,
  type HasFileno,
  type PidfdMessage,
  type RawControl,
  type RawControlToSend,
  type RightsMessage,
  type RightsToSend,
} from "./types.js";
