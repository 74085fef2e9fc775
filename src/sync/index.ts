// The public entry "berkeley/sync": the blocking calls, under the names of the awaitable ones.

export { type Data, END_MAX_BYTES, END_TIMEOUT, type EndResult, type TransferStats } from "../io.js";
export { BufferedError, IncompleteReadError, LimitError } from "../errors/index.js";
export * from "../common.js";
export {
  getaddrinfo,
  getfqdn,
  gethostbyaddr,
  gethostbyname,
  gethostbyname_ex,
  getnameinfo,
} from "../netdb/blockingNames.js";
export { type FileSource } from "../ops/sendfile.js";
export { type EndOptions } from "./syncEnding.js";
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
} from "./syncOptions.js";
export { type DetachOptions } from "../ops/makeSocket.js";
export { recv_fds, send_fds } from "./syncPassing.js";
export { poll, type PollEntry, type PollResult } from "./syncPoll.js";
export { type Socket as SocketCalls } from "./syncSocket.js";
export { Socket, type SocketConstructor } from "./typedSyncSocket.js";
export { type LineOptions, Stream, type StreamOptions, type UntilOptions } from "./syncStream.js";
export {
  pump,
  type PumpCounts,
  type PumpOptions,
  type PumpProgress,
  splice,
  type SpliceOptions,
  type SpliceProgress,
} from "./syncSplice.js";
