// The awaitable socket.

export { type TransferOptions, type WaitOptions } from "./options.js";
export { Socket } from "./socket.js";
export { socketpair } from "./socketpair.js";
