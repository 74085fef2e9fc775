// The entry "berkeley/testing": connections in memory, a clock, and the conformance checks of a Conn.

export { firstDifference, pattern, readFully, readToEnd, rejection } from "./testBytes.js";
export { type Clock } from "../wait/clock.js";
export { FakeClock } from "./fakeClock.js";
export { type Fault } from "./faults.js";
export { MemoryConn, type MemoryDescription, memoryPair, type MemoryOptions } from "./memory.js";
export {
  MemoryListener,
  type MemoryListenerDescription,
  type MemoryListenerOptions,
  type MemoryListenerStats,
} from "./memoryListener.js";
export { seededChunks, seededNumbers } from "./seededNumbers.js";
export { type ConnCheck, connConformance, type ConnPair, type ConnTraits } from "./conformance.js";
export type { DescribedValue, Description, INSPECT, Inspectable } from "../registry/index.js";
