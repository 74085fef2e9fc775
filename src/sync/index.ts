// The blocking twin of the package: the same names, without waiting for promises.

export { type Data, END_MAX_BYTES, END_TIMEOUT, type EndResult } from "../io.js";
export * from "../sys/index.js";
export {
  getaddrinfo,
  getfqdn,
  gethostbyaddr,
  gethostbyname,
  gethostbyname_ex,
  getnameinfo,
} from "../sys/names/blocking.js";
export { type FileSource } from "../sys/operations/move.js";
export { type EndOptions } from "./ending.js";
export { create_connection, create_server, socketpair } from "./create.js";
export {
  type AcceptOptions,
  type CreateConnectionOptions,
  type CreateServerOptions,
  type RecvmsgOptions,
  type SendBatchOptions,
  type SendFileOptions,
  type SendmsgOptions,
  type SendSegmentsOptions,
  type TransferOptions,
  type WaitOptions,
} from "./options.js";
export { type DetachOptions } from "../sys/requests/sockets.js";
export { recv_fds, send_fds } from "./passing.js";
export { poll, type PollEntry, type PollResult } from "./poll.js";
export { Socket } from "./socket.js";
export {
  pump,
  type PumpCounts,
  type PumpOptions,
  type PumpProgress,
  splice,
  type SpliceOptions,
  type SpliceProgress,
} from "./splice.js";
