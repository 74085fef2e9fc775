// Readiness: fd -> waiters, turn budget.

export { type Deferred, defaultReactor, Reactor, type Source } from "./reactor.js";
