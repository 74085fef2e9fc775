// Encodes typed control messages to the control data of sendmsg(2).

import { isUint8Array } from "node:util/types";
import { BufferedError } from "../errors/index.js";
import { int32, quote } from "../check/index.js";
import { SCM_RIGHTS, SOL_SOCKET } from "../sys/constants.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import type { Codec } from "./codec.js";
import { CODECS } from "./decode.js";
import { CMSG_SPACE, HEADER_SIZE, MAX_CONTROL, writeHeader } from "./layout.js";
import type { ControlToSend, HasFileno, RawControlToSend, RightsToSend } from "./types.js";

/**
 * The codec for each `type` of a message. Two codecs have the same name only if the kind can't be sent. So the map has
 * each codec that encodes.
 */
const codecsByName = new Map<string, Codec>(CODECS.map((codec) => [codec.name, codec]));

/** A message whose data are encoded. */
interface EncodedMessage {
  readonly level: number;
  readonly type: number;
  readonly data: Uint8Array;
}

/** A socket that is passed. `at` is the offset of its descriptor number in the control data. */
interface PassedSocket {
  readonly at: number;
  readonly socket: HasFileno;
}

/** Control data that are ready to be sent. */
export class EncodedControl {
  readonly bytes: Uint8Array;
  /** Whether the control data contain descriptors (SCM_RIGHTS). */
  readonly hasDescriptors: boolean;
  readonly #sockets: readonly PassedSocket[];

  constructor(bytes: Uint8Array, hasDescriptors: boolean, sockets: readonly PassedSocket[]) {
    this.bytes = bytes;
    this.hasDescriptors = hasDescriptors;
    this.#sockets = sockets;
  }

  /**
   * Writes the descriptor numbers of the sockets. The caller must call this before each attempt to send: if a socket
   * was closed while the call waited, its number may now belong to another file.
   *
   * @returns false if a socket is closed
   */
  refreshDescriptors(): boolean {
    const out = view(this.bytes);
    for (const { at, socket } of this.#sockets) {
      const fd = socket.fileno();
      if (fd < 0) return false;
      out.setInt32(at, fd, LITTLE_ENDIAN);
    }
    return true;
  }
}

// In the functions below, `name` is the name of the message in errors: `control[0]`.

/**
 * Encodes descriptors. For each socket, appends an entry to `sockets` and leaves 0 in the place of its descriptor.
 *
 * @param dataStart the offset of the message's data in the control data
 */
function encodeRights(message: RightsToSend, name: string, dataStart: number, sockets: PassedSocket[]): EncodedMessage {
  const fds: unknown = message.fds;
  if (!Array.isArray(fds))
    throw new TypeError(`Cannot sendmsg: ${name}.fds is ${quote(fds)}, required an array of descriptors`);
  const data = new Uint8Array(4 * fds.length);
  const out = view(data);
  fds.forEach((fd: unknown, index) => {
    if (typeof fd === "number") {
      if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fff_ffff) {
        throw new RangeError(`Cannot sendmsg: ${name}.fds[${index}] is ${fd}, required the number of a descriptor`);
      }
      out.setInt32(4 * index, fd, LITTLE_ENDIAN);
    } else if (typeof fd === "object" && fd !== null && "fileno" in fd && typeof fd.fileno === "function") {
      const { buffered = 0 } = fd as HasFileno;
      if (buffered > 0) throw new BufferedError(`pass ${name}.fds[${index}]`, buffered);
      sockets.push({ at: dataStart + 4 * index, socket: fd as HasFileno });
    } else {
      throw new TypeError(
        `Cannot sendmsg: ${name}.fds[${index}] is ${quote(fd)}, required a Socket or the number of a descriptor`,
      );
    }
  });
  return { level: SOL_SOCKET, type: SCM_RIGHTS, data };
}

function isRaw(message: ControlToSend): message is RawControlToSend {
  const { type } = message as { readonly type: unknown };
  return typeof type === "number" || (typeof type === "object" && type !== null && "optname" in type);
}

function encodeRaw({ level, type: typeOrOption, data }: RawControlToSend, name: string): EncodedMessage {
  const type = typeof typeOrOption === "number" ? typeOrOption : typeOrOption.optname;
  if (!isUint8Array(data)) throw new TypeError(`Cannot sendmsg: ${name}.data is ${quote(data)}, required a Uint8Array`);
  return { level: int32(level, "sendmsg", `${name}.level`), type: int32(type, "sendmsg", `${name}.type`), data };
}

function encodeTyped(message: ControlToSend, name: string): EncodedMessage {
  const codec = codecsByName.get(message.type as string);
  if (codec?.encode === undefined) {
    const requirement =
      codec === undefined
        ? "required a known kind, or { level, type, data } with a number as type"
        : "required a kind that can be sent; this one is only received";
    throw new TypeError(`Cannot sendmsg: ${name}.type is ${quote(message.type)}, ${requirement}`);
  }
  return { level: codec.level, type: codec.cmsgType, data: codec.encode(message as never, name) };
}

/**
 * Encodes messages to control data.
 *
 * @throws TypeError or RangeError that names the wrong message and field
 */
export function encodeControl(messages: readonly ControlToSend[]): EncodedControl {
  if (!Array.isArray(messages)) {
    throw new TypeError(`Cannot sendmsg: control is ${quote(messages)}, required an array of control messages`);
  }
  const passedSockets: PassedSocket[] = [];
  /** The number of bytes of the messages so far. */
  let total = 0;
  let hasDescriptors = false;
  const encodedMessages = (messages as readonly ControlToSend[]).map((message, index) => {
    const name = `control[${index}]`;
    if (typeof message !== "object" || message === null) {
      throw new TypeError(
        `Cannot sendmsg: ${name} is ${quote(message)}, required a control message such as { type: "IP_TTL", ttl: 64 }`,
      );
    }
    let encoded: EncodedMessage;
    if (message.type === "SCM_RIGHTS") encoded = encodeRights(message, name, total + HEADER_SIZE, passedSockets);
    else if (isRaw(message)) encoded = encodeRaw(message, name);
    else encoded = encodeTyped(message, name);
    // A raw message can be SCM_RIGHTS too.
    hasDescriptors ||= encoded.level === SOL_SOCKET && encoded.type === SCM_RIGHTS && encoded.data.length > 0;
    total += CMSG_SPACE(encoded.data.length);
    return encoded;
  });
  if (total > MAX_CONTROL)
    throw new RangeError(`Cannot sendmsg: control data have ${total} bytes, required at most ${MAX_CONTROL}`);
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const { level, type, data } of encodedMessages) {
    writeHeader(bytes, at, data.length, level, type);
    bytes.set(data, at + HEADER_SIZE);
    at += CMSG_SPACE(data.length);
  }
  return new EncodedControl(bytes, hasDescriptors, passedSockets);
}
