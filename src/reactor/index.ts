// Readiness: the queues of a descriptor try a call, wait for an event and try again. The reactor gets the events from
// epoll and passes each event to its descriptor.

export { Descriptor } from "./descriptor.js";
export { countCompleted, countPart, TransferCounts } from "./transferCounts.js";
export { WaitQueue } from "./waitQueue.js";
export { Pollset } from "./pollset.js";
export { type Deferred, defaultReactor, Reactor, type EventHandler } from "./reactor.js";
export { type CompletionHandler, PENDING } from "./waiter.js";
