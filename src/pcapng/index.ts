// A writer of captures, which Wireshark and tshark read.

export { LINKTYPE_ETHERNET, LINKTYPE_RAW, type LinkType } from "./blocks.js";
export { type FlowEnds, type FlowOptions, type FlowSide, TcpFlow, type TcpFlowOptions, UdpFlow } from "./flows.js";
export type { IpAddress } from "./headers.js";
export {
  Capture,
  CaptureInterface,
  type CaptureInterfaceOptions,
  type CaptureOptions,
  type PacketOptions,
} from "./writer.js";
