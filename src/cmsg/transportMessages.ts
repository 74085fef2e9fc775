// Control messages of UDP and TCP: segmentation offload, and the bytes that are left to read. udp(7), tcp(7).

import { integer } from "../check/index.js";
import * as k from "../sys/constants.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { type Codec, intCodec } from "./codec.js";

/** Sends the data as datagrams of `gso_size` bytes each; the last one may be shorter. UDP_SEGMENT of udp(7). */
export interface SegmentToSend {
  readonly type: "UDP_SEGMENT";
  readonly gso_size: number;
}

/** The data are datagrams of `gso_size` bytes each; the last one may be shorter. Requires the option `UDP_GRO`. */
export interface GroMessage {
  readonly type: "UDP_GRO";
  readonly gso_size: number;
}

/** Number of bytes that can be read after the data of this message. Requires the option `TCP_INQ`. */
export interface InqMessage {
  readonly type: "TCP_INQ";
  readonly inq: number;
}

const SEGMENT: Codec = {
  name: "UDP_SEGMENT",
  level: k.SOL_UDP,
  cmsgType: k.UDP_SEGMENT,
  encode: ({ gso_size }: SegmentToSend, messageName) => {
    const bytes = new Uint8Array(2);
    view(bytes).setUint16(0, integer(gso_size, "sendmsg", `${messageName}.gso_size`, 0, 0xffff), LITTLE_ENDIAN);
    return bytes;
  },
};

export const TRANSPORT_CODECS: readonly Codec[] = [
  SEGMENT,
  intCodec("UDP_GRO", k.SOL_UDP, k.UDP_GRO, "gso_size"),
  intCodec("TCP_INQ", k.SOL_TCP, k.TCP_INQ, "inq"),
];
