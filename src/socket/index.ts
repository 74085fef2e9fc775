// The awaitable socket.

export { type SendBatchOptions, type SendSegmentsOptions } from "./batchSocket.js";
export { create_connection, type CreateConnectionOptions } from "./createConnection.js";
export { create_server, type CreateServerOptions } from "./createServer.js";
export { type RecvmsgOptions, type SendmsgOptions } from "./messageSocket.js";
export { DatagramQueue, type DatagramQueueOptions, type DatagramQueueStats } from "./datagramQueue.js";
export { type SendFileOptions } from "./moveSocket.js";
export { type FileSource } from "../sys/operations/move.js";
export { type NetBoundSocket } from "./netSocket.js";
export { type TransferOptions, type WaitOptions } from "./options.js";
export { recv_fds, send_fds } from "./passing.js";
export { poll, type PollEntry, type PollResult } from "./poll.js";
export {
  pump,
  type PumpCounts,
  type PumpOptions,
  type PumpProgress,
  splice,
  type SpliceOptions,
  type SpliceProgress,
} from "./pump.js";
export { type AcceptOptions, Socket } from "./socket.js";
export { type ConnAddresses, SocketConn } from "./socketConn.js";
export { socketpair } from "./socketpair.js";
