// Sends sock_diag(7) requests over AF_NETLINK, and parses the messages of the answers: netlink(7).

import { endianness } from "node:os";
import { getSystemErrorName } from "node:util";

import { AF_NETLINK, NETLINK_SOCK_DIAG, NetlinkAddress, SOCK_RAW, Socket, SocketError } from "berkeley";

/** The type of requests and of answers (`linux/sock_diag.h`). */
const SOCK_DIAG_BY_FAMILY = 20;
/** The types of the messages that end an answer (`linux/netlink.h`). */
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
/** The flags NLM_F_REQUEST (0x1) and NLM_F_DUMP (0x300): a request for all sockets. */
const REQUEST_DUMP = 0x301;
/** The sizes of `struct nlmsghdr` and of `struct nlattr` in bytes. */
const HEADER_SIZE = 16;
const ATTRIBUTE_HEADER_SIZE = 4;
/** The two upper bits of an attribute's type are flags. */
const TYPE_MASK = 0x3fff;
/** Bytes of a read. The kernel sends a dump in datagrams of at most 32 KB. */
const READ_SIZE = 64 << 10;

const IS_LITTLE_ENDIAN = endianness() === "LE";

/** Reads and writes the integers of a struct, in the byte order of the machine. */
export class Fields {
  readonly bytes: Buffer;
  readonly #view: DataView;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get length(): number {
    return this.bytes.length;
  }

  u8(at: number): number {
    return this.#view.getUint8(at);
  }

  u16(at: number): number {
    return this.#view.getUint16(at, IS_LITTLE_ENDIAN);
  }

  u32(at: number): number {
    return this.#view.getUint32(at, IS_LITTLE_ENDIAN);
  }

  i32(at: number): number {
    return this.#view.getInt32(at, IS_LITTLE_ENDIAN);
  }

  /** A port. Ports are always in network byte order. */
  port(at: number): number {
    return this.#view.getUint16(at, false);
  }

  putU16(at: number, value: number): void {
    this.#view.setUint16(at, value, IS_LITTLE_ENDIAN);
  }

  putU32(at: number, value: number): void {
    this.#view.setUint32(at, value, IS_LITTLE_ENDIAN);
  }
}

/** A message of an answer: its struct, and the attributes after the struct, by their numbers. */
export interface DiagMessage {
  readonly body: Fields;
  readonly attributes: ReadonlyMap<number, Buffer>;
}

/** A netlink socket for requests to sock_diag, one after the other. */
export class Diag implements AsyncDisposable {
  readonly #socket = new Socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
  readonly #signal: AbortSignal;
  #sequence = 0;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /**
   * Requests all sockets of a kind. `structSize` is the size of the struct that begins each message of the answer.
   *
   * @throws SocketError `ENOENT` when the kernel has no sock_diag module for this kind
   */
  async dump(request: Buffer, structSize: number): Promise<DiagMessage[]> {
    const sequence = ++this.#sequence;
    const packet = new Fields(Buffer.concat([Buffer.alloc(HEADER_SIZE), request]));
    // The fields of `struct nlmsghdr`: length, type, flags, sequence number.
    packet.putU32(0, packet.length);
    packet.putU16(4, SOCK_DIAG_BY_FAMILY);
    packet.putU16(6, REQUEST_DUMP);
    packet.putU32(8, sequence);
    await this.#socket.sendto(packet.bytes, new NetlinkAddress(0, 0), { signal: this.#signal });
    const found: DiagMessage[] = [];
    for (;;) {
      const received = await this.#socket.recv(READ_SIZE, { signal: this.#signal });
      const isAnswerComplete = addMessages(new Fields(received), sequence, structSize, found);
      if (isAnswerComplete) return found;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#socket[Symbol.asyncDispose]();
  }
}

/**
 * Adds the messages of a datagram to `found`. Ignores messages with another sequence number. Returns true if the answer
 * has ended. Throws the error that the kernel reports.
 */
function addMessages(datagram: Fields, sequence: number, structSize: number, found: DiagMessage[]): boolean {
  for (let at = 0; at + HEADER_SIZE <= datagram.length;) {
    const length = datagram.u32(at);
    if (length < HEADER_SIZE || at + length > datagram.length) break;
    const type = datagram.u16(at + 4);
    if (datagram.u32(at + 8) === sequence) {
      const payload = datagram.bytes.subarray(at + HEADER_SIZE, at + length);
      if (type === NLMSG_ERROR || type === NLMSG_DONE) {
        // These messages begin with a negative errno, or with 0 for success.
        const errno = payload.length >= 4 ? new Fields(payload).i32(0) : 0;
        if (errno < 0) throw new SocketError(getSystemErrorName(errno), errno, "sock_diag");
        return true;
      }
      if (type === SOCK_DIAG_BY_FAMILY && payload.length >= structSize) {
        found.push({
          body: new Fields(payload.subarray(0, structSize)),
          attributes: attributesOf(payload.subarray(structSize)),
        });
      }
    }
    at += align(length);
  }
  return false;
}

function attributesOf(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const fields = new Fields(bytes);
  const found = new Map<number, Buffer>();
  for (let at = 0; at + ATTRIBUTE_HEADER_SIZE <= bytes.length;) {
    const length = fields.u16(at);
    if (length < ATTRIBUTE_HEADER_SIZE || at + length > bytes.length) break;
    found.set(fields.u16(at + 2) & TYPE_MASK, bytes.subarray(at + ATTRIBUTE_HEADER_SIZE, at + length));
    at += align(length);
  }
  return found;
}

/** Rounds up to a multiple of 4, at which the next message or attribute begins. */
const align = (length: number): number => (length + 3) & ~3;
