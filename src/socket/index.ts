// The awaitable socket.

export { type SendBatchOptions } from "../ops/mmsg.js";
export { type SendSegmentsOptions } from "../ops/sendSegments.js";
export { create_connection } from "./createConnection.js";
export { create_server } from "./createServer.js";
export { type CreateConnectionOptions, type CreateServerOptions } from "../ops/createOptions.js";
export { type RecvmsgOptions } from "../ops/recvmsg.js";
export { type SendmsgOptions } from "../ops/sendmsg.js";
export {
  DatagramQueue,
  type DatagramQueueDescription,
  type DatagramQueueOptions,
  type DatagramQueueStats,
} from "./datagramQueue.js";
export { type FileSource, type SendFileOptions } from "../ops/sendfile.js";
export { type NetBoundSocket } from "./fromNetSocket.js";
export { type FlagOptions, type TransferOptions } from "../ops/flags.js";
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
} from "../ops/spliceOptions.js";
export { type Socket as SocketCalls } from "./socket.js";
export { Socket, type SocketConstructor } from "./typedSocket.js";
export { type AcceptOptions } from "../ops/accept.js";
export { type DetachOptions } from "../ops/makeSocket.js";
export { type ConnAddresses, SocketConn } from "./socketConn.js";
export { socketpair } from "./socketpair.js";
export { splice } from "./splice.js";
// The following exports are for src/net, src/server and other folders of this package. No public entry exports them.
export { isTcp } from "./socket.js";
export { acceptFrom, localPortOf, connectTo, type CompletionHandler, PENDING } from "./connecting.js";
export { receiveWholeDatagram } from "./datagramIterator.js";
export { dropDefaultTimeout, onClose } from "./promiseRunner.js";
export { Pump } from "./pump.js";
export { resetOnClose } from "./socketConn.js";
export { type LastActivity } from "./spliceFlow.js";
