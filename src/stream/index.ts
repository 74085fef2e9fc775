export { Stream, type StreamOptions, type UntilOptions } from "./stream.js";
export { type LineOptions } from "./lines.js";
export { type Items } from "./items.js";
export { type Codec, type Decoder, type Frame, type FrameOptions } from "./frames.js";
export { delimited, type DelimitedOptions, fixed, lengthPrefixed, type LengthPrefixOptions } from "./codecs.js";
export { type ToNetSocketOptions } from "./netSocket.js";
export { type PipeOptions } from "./pipe.js";
export { fromDuplex, type FromDuplexOptions, toDuplex, type ToDuplexOptions } from "./duplex.js";
export { fromWeb, toWeb, type ToWebOptions, type WebPair } from "./web.js";
