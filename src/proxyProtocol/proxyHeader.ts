// The PROXY protocol: a proxy sends the addresses of its client in a header before the data of the connection.
//
// HAProxy's proxy-protocol.txt describes it. Version 1 is a line of text. Version 2 is binary, and may have TLVs, which
// are additional values.
//
// The header is not authenticated. So a server must read a header only from trusted peers, and must require a header
// from them. Otherwise any client could choose its own address.

import type { Address } from "../addr/index.js";

/** Types of TLVs of version 2; proxy-protocol.txt, section 2.2. */
export const PP2_TYPE_ALPN = 0x01;
export const PP2_TYPE_AUTHORITY = 0x02;
export const PP2_TYPE_CRC32C = 0x03;
export const PP2_TYPE_NOOP = 0x04;
export const PP2_TYPE_UNIQUE_ID = 0x05;
export const PP2_TYPE_SSL = 0x20;
export const PP2_TYPE_NETNS = 0x30;

/** An additional value in a header of version 2: type, length and value. */
export interface ProxyTlv {
  /** 0 to 255, such as `PP2_TYPE_ALPN`. */
  readonly type: number;
  /** The addresses and all TLVs of a header have at most 65,535 bytes together. */
  readonly value: Uint8Array;
}

/** A header of the PROXY protocol. */
export interface ProxyHeader {
  readonly version: 1 | 2;
  /**
   * True for `LOCAL`: the proxy itself made the connection, for example for a health check. Such a header has no
   * addresses, and the addresses of the connection apply.
   */
  readonly local: boolean;
  /** The client's socket: `"stream"` for TCP and UNIX streams, `"dgram"` for datagrams, null if it is not known. */
  readonly transport: "stream" | "dgram" | null;
  /** The address of the client; undefined if the header has none (`LOCAL`, `UNKNOWN`, family `UNSPEC`). */
  readonly source: Address | undefined;
  /** The address to which the client connected. */
  readonly destination: Address | undefined;
  /** The TLVs in their order, without NOOP and CRC32C; empty in version 1. */
  readonly tlvs: readonly ProxyTlv[];
}

/** The first 12 bytes of version 2: "\r\n\r\n\0\r\nQUIT\n". */
export const SIGNATURE: Uint8Array = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10);
/** Bytes of version 2 before the addresses: the signature, version and command, family and transport, the length. */
export const FIXED_SIZE = 16;
/** Maximum length of a line of version 1, including CRLF. */
export const MAX_LINE = 107;
/** The size of the path in `struct sockaddr_un`. */
export const UNIX_PATH_SIZE = 108;

// The commands of version 2, in the low four bits of byte 12. Its high four bits are the version.
export const COMMAND_LOCAL = 0;
export const COMMAND_PROXY = 1;
// Byte 13 of version 2: the family is in its high four bits, the transport in its low four bits.
export const FAMILY_UNSPEC = 0;
export const FAMILY_INET = 1;
export const FAMILY_INET6 = 2;
export const FAMILY_UNIX = 3;
export const TRANSPORT_UNSPEC = 0;
export const TRANSPORT_STREAM = 1;
export const TRANSPORT_DGRAM = 2;
