// The entry "berkeley/server": servers with limits, drain and counters.

export {
  type AddressList,
  type AdmissionOptions,
  type PressureEvent,
  type Refusal,
  type RefusalReason,
} from "../admission/index.js";
export { serve } from "./serve.js";
export { type ConnectionContext } from "./servedConnection.js";
export { type DrainOptions, Server, type ServerDescription, type ServerStats } from "./server.js";
export { type ServeOptions } from "./serverOptions.js";
export type { DescribedValue, Description, INSPECT, Inspectable } from "../registry/index.js";
