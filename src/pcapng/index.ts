// Writes and reads captures in the format pcapng, which Wireshark and tshark use.

export { LINKTYPE_ETHERNET, LINKTYPE_RAW, type LinkType } from "./blocks.js";
export { CaptureFile, type CaptureFileOptions } from "./captureFile.js";
export { type Conversation, readConversations, type Turn } from "./conversations.js";
export {
  type FlowDataOptions,
  type FlowEnds,
  type FlowOptions,
  type FlowSide,
  TcpFlow,
  type TcpFlowOptions,
  UdpFlow,
} from "./flows.js";
export type { IpAddress } from "./headers.js";
export { type CapturedPacket, readCapture } from "./reader.js";
export {
  Capture,
  CaptureInterface,
  type CaptureInterfaceOptions,
  type CaptureOptions,
  type PacketOptions,
} from "./writer.js";
