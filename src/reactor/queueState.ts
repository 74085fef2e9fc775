// The flags of a queue, in one number. A field for each flag would take 8 bytes, and an idle connection has two queues.
// The code that runs for each transfer tests the bits itself, without getters: V8 limits how much code it inlines into
// a function. The methods of a queue are `private` and not `#`: V8 gives an object a hidden field for each class of its
// chain that has `#` methods, and checks it at each call.

/** Off when the last attempt returned EAGAIN and no event has come since. */
export const READY = 1;
/** The reactor's next turn will serve the queue. */
export const DEFERRED = 2;
/** A short read means that the socket is empty; see waitQueue.ts. For reading on TCP only. */
export const SHORT_MEANS_EMPTY = 4;
/** A short read means the end of the stream, because the peer's FIN has arrived. For reading on TCP only. */
export const SHORT_MEANS_END = 8;
/** Calls that must not wait (MSG_DONTWAIT) may be among the waiting calls. */
export const NONBLOCKING = 16;
