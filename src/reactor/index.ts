// Readiness. A queue of a descriptor tries a call, waits for an event and tries again. The reactor gets the events from
// epoll and passes each to its descriptor.

export { Descriptor } from "./descriptor.js";
export { countCompleted, countPart, TransferCounts } from "./transferCounts.js";
export { WaitQueue } from "./waitQueue.js";
export { Pollset } from "./pollset.js";
export { type Deferred, defaultReactor, Reactor, type Source } from "./reactor.js";
export { type CompletionHandler, PENDING } from "./waiter.js";
