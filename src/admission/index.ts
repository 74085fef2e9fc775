// The parts that servers share: limits, the accept loop, headers of proxies, shortages, sets of connections, drain.

export { ADMISSION_OPTIONS } from "./admissionNames.js";
export { AcceptLoop, type AdmissionCounts } from "./acceptLoop.js";
export { type AcceptHandler, type AcceptOwner } from "./acceptOwner.js";
export { checkAddressList, type AddressList, clientKey, isListed } from "./clientKey.js";
export { DeadlineSet, type DeadlineMember } from "./deadlineSet.js";
export { Lifecycle, type LifecycleOwner } from "./lifecycle.js";
export { checkSignals, type DrainOptions, checkDrainTimeout, onSignal } from "./shutdownSignals.js";
export {
  type AdmissionOptions,
  type CheckedAdmission,
  checkAdmission,
  type PressureEvent,
  type Refusal,
  type RefusalReason,
  bindCallback,
} from "./limits.js";
export { plainError } from "./plainError.js";
export { pressure, shortageOf } from "./pressure.js";
export {
  type ClosedEvent,
  type ConnectionEvent,
  type DrainEvent,
  type DroppedEvent,
  type EndEvent,
  type EndReason,
  type ErrorEvent,
  type EventConnection,
  type EventEnds,
  type EventError,
  type EventFields,
  type ListeningEvent,
  type RefusedEvent,
  type ServerEvent,
  ServerEvents,
  type ShortageEvent,
} from "./serverEvents.js";
export { type ProxyProtocolOptions } from "./proxyGate.js";
export { SourceLimiter } from "./sourceLimiter.js";
export { ValidatedSources } from "./validatedSources.js";
