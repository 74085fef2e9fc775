// The awaitable socket.

export { type SendBatchOptions, type SendSegmentsOptions } from "../sys/requests/batches.js";
export { create_connection } from "./createConnection.js";
export { create_server } from "./createServer.js";
export { type CreateConnectionOptions, type CreateServerOptions } from "../sys/requests/dialling.js";
export { type RecvmsgOptions, type SendmsgOptions } from "../sys/requests/messages.js";
export { DatagramQueue, type DatagramQueueOptions, type DatagramQueueStats } from "./datagramQueue.js";
export { type SendFileOptions } from "../sys/requests/files.js";
export { type FileSource } from "../sys/operations/move.js";
export { type NetBoundSocket } from "./netSocket.js";
export { type FlagOptions } from "../sys/requests/trying.js";
export { type TransferOptions, type WaitOptions } from "../sys/waitOptions.js";
export { recv_fds, send_fds } from "./passing.js";
export { poll, type PollEntry, type PollResult } from "./poll.js";
export { pump } from "./pump.js";
export {
  type PumpCounts,
  type PumpOptions,
  type PumpProgress,
  type SpliceOptions,
  type SpliceProgress,
} from "../sys/requests/splicing.js";
export { Socket } from "./socket.js";
export { type AcceptOptions, type DetachOptions } from "../sys/requests/sockets.js";
export { type ConnAddresses, SocketConn } from "./socketConn.js";
export { socketpair } from "./socketpair.js";
export { splice } from "./splice.js";
// For the layers above, and nobody else.
export { acceptFrom, askLocalPort, connectTo, type Settler, WAITS } from "./connecting.js";
export { withoutDefaultTimeout } from "./descriptorSocket.js";
export { Pump } from "./pump.js";
export { cutOnClose } from "./socketConn.js";
export { type Activity } from "./spliceFlow.js";
