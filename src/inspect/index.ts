// The entry "berkeley/inspect": shows the sockets of a process on a page, as JSON lines, and as data.

// oxlint-disable-next-line import/no-unassigned-import -- it starts the inspector if `--import` requests it
import "./preload.js";

export { type Inspector, sockets, startInspector } from "./inspector.js";
export type { InspectorOptions } from "./inspectOptions.js";
export type {
  CallReport,
  Finding,
  HeadlessUpdate,
  OptionReport,
  PendingReport,
  Sample,
  SocketDetail,
  SocketReport,
  TableUpdate,
  TransferReport,
} from "./protocol.js";
export type { PayloadContext, Redact } from "./socketDetail.js";
