// The awaitable socket.

export { type SendBatchOptions, type SendSegmentsOptions } from "../ops/batchArguments.js";
export { create_connection } from "./createConnection.js";
export { create_server } from "./createServer.js";
export { type CreateConnectionOptions, type CreateServerOptions } from "../ops/createArguments.js";
export { type RecvmsgOptions, type SendmsgOptions } from "../ops/messageArguments.js";
export { DatagramQueue, type DatagramQueueOptions, type DatagramQueueStats } from "./datagramQueue.js";
export { type SendFileOptions } from "../ops/sendfileArguments.js";
export { type FileSource } from "../ops/transfer.js";
export { type NetBoundSocket } from "./fromNetSocket.js";
export { type FlagOptions } from "../ops/tryArguments.js";
export { type TransferOptions } from "../ops/flags.js";
export { type WaitOptions } from "../wait/waitOptions.js";
export { recv_fds, send_fds } from "./passing.js";
export { poll, type PollEntry, type PollResult } from "./poll.js";
export { pump } from "./pump.js";
export {
  type PumpCounts,
  type PumpOptions,
  type PumpProgress,
  type SpliceOptions,
  type SpliceProgress,
} from "../ops/spliceArguments.js";
export { Socket } from "./socket.js";
export { type AcceptOptions, type DetachOptions } from "../ops/socketArguments.js";
export { type ConnAddresses, SocketConn } from "./socketConn.js";
export { socketpair } from "./socketpair.js";
export { splice } from "./splice.js";
// For the layers above, and nobody else.
export { isTcp } from "./socket.js";
export { acceptFrom, askLocalPort, connectTo, type Settler, WAITS } from "./connecting.js";
export { withoutDefaultTimeout } from "./descriptorSocket.js";
export { Pump } from "./pump.js";
export { cutOnClose } from "./socketConn.js";
export { type Activity } from "./spliceFlow.js";
