// One descriptor: try the call, wait, retry; the one place for EAGAIN, EINTR, cancel and close.

export { Descriptor } from "./descriptor.js";
export { Direction } from "./direction.js";
export { moved, NOT_ENOUGH, type Operation } from "./operation.js";
export { Pollset } from "./pollset.js";
