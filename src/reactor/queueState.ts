// The flags of a queue, in one number: `bits` of WaiterList. A field for each flag would take 8 bytes, and an idle
// connection has two queues.
//
// Two rules keep a transfer fast. The code that runs for each transfer tests the bits without getters, because V8
// limits how much code it inlines into a function. The methods of a queue are `private` and not `#`. If a class has `#`
// methods, V8 adds a hidden field to each of its objects, and checks that field at each call.

/** An attempt may succeed. Clear from an EAGAIN, or a result after which EAGAIN is certain, until the next event. */
export const READY = 1;
/** The reactor will serve the queue in the next turn. */
export const DEFERRED = 2;
/** A read that gets fewer bytes than requested has emptied the socket; see waitQueue.ts. Only for reading on TCP. */
export const SHORT_MEANS_EMPTY = 4;
/** A read that gets fewer bytes than requested has reached the end of the stream. Set after the peer's FIN, on TCP. */
export const SHORT_MEANS_END = 8;
/** Calls with MSG_DONTWAIT may be in the queue. They wait only for the next turn, not for an event. */
export const NONBLOCKING = 16;
