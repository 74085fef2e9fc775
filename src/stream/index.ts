// The public functions and types of streams.

export { Stream } from "./stream.js";
export { broadcast, type BroadcastOptions, type BroadcastResult, type SlowPeer } from "./broadcast.js";
export { type StreamDescription } from "./describeStream.js";
export { type SocketBelow } from "./socketBelow.js";
export { type UntilOptions } from "../reading/readArguments.js";
export { type StreamOptions } from "./streamArguments.js";
export { type LineOptions } from "../reading/lines.js";
export { type Items } from "./itemIterator.js";
export { type Codec, type Decoder, type Frame, type FrameOptions } from "./frames.js";
export { delimited, type DelimitedOptions, fixed, lengthPrefixed, type LengthPrefixOptions } from "./codecs.js";
export { type ToNetSocketOptions } from "./netSocket.js";
export { type OutboxCounts } from "./outbox.js";
export { type PipeOptions } from "./pipe.js";
export { type ConnDuplex, type DuplexAddress, type ToDuplexOptions } from "./connDuplex.js";
export { type SecureConnDuplex } from "./secureConnDuplex.js";
export { toDuplex } from "./toDuplex.js";
export { fromDuplex, type FromDuplexOptions } from "./fromDuplex.js";
export { fromWeb, toWeb, type ToWebOptions, type WebPair } from "./webStreams.js";
