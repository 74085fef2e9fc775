// What servers share: limits, the accept loop, headers of proxies, shortage of descriptors, connections, and drain.

export { AcceptLoop, type AcceptHandler, type AcceptOwner, type AdmissionCounts } from "./acceptLoop.js";
export { type AddressList } from "./clientKey.js";
export { ConnectionSet, type TrackedConnection } from "./connectionSet.js";
export { type DrainOptions, drainTimeout, Lifecycle, type LifecycleOwner } from "./lifecycle.js";
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
export { type ProxyProtocolOptions } from "./proxyGate.js";
