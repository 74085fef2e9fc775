// Descriptions of objects, the list of waiting calls (pending()) and the registry of live sockets.

export {
  makeDescribable,
  describe,
  type DescribedValue,
  type Description,
  type Fields,
  INSPECT,
  Inspectable,
  isDescribable,
} from "./inspectable.js";
export { callerLine } from "./callerLine.js";
export {
  addPendingSource,
  type ListedCall,
  listWaiting,
  pending,
  WaitingCall,
  type WaitingCallDescription,
} from "./pending.js";
export {
  attachListener,
  type CallRecord,
  detachListener,
  isTracing,
  type ObjectRecord,
  registry,
  type RegistryListener,
  setTracing,
  takeLineBudget,
} from "./registry.js";
