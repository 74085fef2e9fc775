// What serve() and forward() share: limits, the accept loop, shortage of descriptors, the set of connections.

export { AcceptLoop, type AcceptHandler, type AcceptOwner, type AdmissionCounts } from "./acceptLoop.js";
export { type AddressList, clientKey } from "./clientKey.js";
export { ConnectionSet, type TrackedConnection } from "./connectionSet.js";
export {
  ADMISSION_OPTIONS,
  type AdmissionOptions,
  type CheckedAdmission,
  checkAdmission,
  type PressureEvent,
  type Refusal,
  type RefusalReason,
  reporter,
} from "./limits.js";
export { pressure, shortageOf } from "./pressure.js";
