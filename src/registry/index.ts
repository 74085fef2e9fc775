// Looking at objects and calls: descriptions, pending() and the registry.

export {
  describable,
  describe,
  type DescribedValue,
  type Description,
  type Fields,
  INSPECT,
  Inspectable,
} from "./inspectable.js";
export { addPendingSource, type ListedCall, pending, WaitingCall, type WaitingCallDescription } from "./pending.js";
export {
  attachListener,
  type CallRecord,
  detachListener,
  isTracing,
  type ObjectRecord,
  registry,
  type RegistryListener,
  setTracing,
} from "./registry.js";
