// Readiness: one descriptor tries a call, waits and tries again; the reactor passes the kernel's events on.

export { Descriptor } from "./descriptor.js";
export { TransferCounts } from "./transferCounts.js";
export { WaitQueue } from "./waitQueue.js";
export { Pollset } from "./pollset.js";
export { type Deferred, defaultReactor, Reactor, type Source } from "./reactor.js";
export { type CompletionHandler, PENDING } from "./waiter.js";
