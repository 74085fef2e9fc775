export { firstDifference, pattern, readFully, readToEnd, rejection } from "./testBytes.js";
export { type Clock } from "../wait/clock.js";
export { FakeClock } from "./fakeClock.js";
export { type Fault } from "./faults.js";
export { MemoryConn, memoryPair, type MemoryOptions } from "./memory.js";
export { MemoryListener, type MemoryListenerOptions } from "./memoryListener.js";
export { seededChunks, seededNumbers } from "./seededNumbers.js";
export { type ConnCheck, connConformance, type ConnPair, type ConnTraits } from "./conformance.js";
