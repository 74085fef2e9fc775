export { Stream, type StreamOptions, type UntilOptions } from "./stream.js";
export { type LineOptions } from "./lines.js";
export { type Items } from "./items.js";
export { type Codec, type Decoder, type Frame, type FrameOptions } from "./frames.js";
export { delimited, type DelimitedOptions, fixed, lengthPrefixed, type LengthPrefixOptions } from "./codecs.js";
export { type ToNetSocketOptions } from "./netSocket.js";
export { type PipeOptions } from "./pipe.js";
export {
  type ConnDuplex,
  type DuplexAddress,
  type SecureConnDuplex,
  toDuplex,
  type ToDuplexOptions,
} from "./connDuplex.js";
export { fromDuplex, type FromDuplexOptions } from "./duplex.js";
export { fromWeb, toWeb, type ToWebOptions, type WebPair } from "./web.js";
