// One descriptor: try the call, wait, retry; the one place for EAGAIN, EINTR, cancel and close.

export { Descriptor } from "./descriptor.js";
export { Direction } from "./direction.js";
export { Pollset } from "./pollset.js";
export { type Settler, WAITS } from "./waiter.js";
