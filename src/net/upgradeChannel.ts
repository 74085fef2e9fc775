// The messages between the old program and the new program of an upgrade. They are JSON on a pair of SOCK_SEQPACKET
// sockets, which keep the boundaries of messages and report the end of the other process.
//
//   new: hello                  requests the descriptors, so a program that hangs before this message gets none
//   old: sockets ...            with SCM_RIGHTS; `more` is false in the last message
//   new: ready                  with the sockets that the new program uses
//   old: go
//   new: serving                the new program accepts connections
//   old: end of the connection  the old program accepts no more
//
// Instead of `ready` the new program may send `failed`. Instead of `sockets` the old program may send `no`. If the
// connection ends before `go`, there is no upgrade. After `go` the new program may have accepted connections.

import { type Socket, recv_fds, send_fds } from "../socket/index.js";
import type { ReceivedDescriptors } from "../cmsg/index.js";
import { quote } from "../check/index.js";
import { MSG_CTRUNC } from "../sys/constants.js";
import { localError } from "../wait/localError.js";

/** The version of these messages. The two programs may have different versions of the package. */
export const UPGRADE_PROTOCOL = 1;

/** A socket of the message `sockets`. Its index in the message is also the index of its descriptor. */
export interface DescribedSocket {
  /** Its number among all sockets of the upgrade. */
  readonly id: number;
  /** The names of its endpoint; see `namesOf()` of upgradeSockets.ts. */
  readonly names: readonly string[];
  /** The file of a UNIX socket: its path in Latin-1, device and inode. */
  readonly file?: { readonly path: string; readonly dev: string; readonly ino: string } | undefined;
}

/** A message; see the table above. */
export type UpgradeMessage =
  | { readonly type: "hello"; readonly protocol: number }
  | { readonly type: "sockets"; readonly sockets: readonly DescribedSocket[]; readonly more: boolean }
  | { readonly type: "ready"; readonly pid: number; readonly taken: readonly number[] }
  | { readonly type: "failed"; readonly summary: string; readonly detail?: string | undefined }
  | { readonly type: "go" }
  | { readonly type: "no"; readonly reason: string }
  | { readonly type: "serving" };

/** Maximum number of sockets in a message. The kernel passes at most 253, and their names must fit into MAX_BYTES. */
export const SOCKETS_PER_MESSAGE = 64;
/** Maximum size of a message in bytes. */
const MAX_BYTES = 1 << 17;

/** Sends a message, with the descriptors of `sockets`. */
export async function sendUpgradeMessage(
  channel: Socket,
  message: UpgradeMessage,
  sockets: readonly Socket[] = [],
): Promise<void> {
  const text = JSON.stringify(message);
  if (sockets.length === 0) await channel.send(text);
  else await send_fds(channel, text, sockets);
}

const isText = (value: unknown): boolean => typeof value === "string";
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isOptional = (value: unknown, check: (value: unknown) => boolean): boolean => value === undefined || check(value);
const isList = (value: unknown, check: (value: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(check);

function isFile(value: unknown): boolean {
  const { path, dev, ino } = (value ?? {}) as Record<string, unknown>;
  return isText(path) && [dev, ino].every((number) => isText(number) && /^\d+$/.test(number as string));
}

function isDescribedSocket(value: unknown): boolean {
  const { id, names, file } = (value ?? {}) as Record<string, unknown>;
  return isCount(id) && isList(names, isText) && isOptional(file, isFile);
}

/** The fields of each message, each with its check. */
const FIELDS: Readonly<Record<UpgradeMessage["type"], Readonly<Record<string, (value: unknown) => boolean>>>> = {
  hello: { protocol: isCount },
  sockets: { sockets: (value) => isList(value, isDescribedSocket), more: (value) => typeof value === "boolean" },
  ready: { pid: isCount, taken: (value) => isList(value, isCount) },
  failed: { summary: isText, detail: (value) => isOptional(value, isText) },
  go: {},
  no: { reason: isText },
  serving: {},
};

/** Parses a message and checks its fields, because the other program can be any program. */
function parseMessage(text: string): UpgradeMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unexpectedMessageError(text);
  }
  const message = (value ?? {}) as Record<string, unknown>;
  const { type } = message;
  if (!isText(type) || !Object.hasOwn(FIELDS, type as string)) throw unexpectedMessageError(text);
  const fields = Object.entries(FIELDS[type as UpgradeMessage["type"]]);
  if (!fields.every(([name, check]) => check(message[name]))) throw unexpectedMessageError(text);
  return message as unknown as UpgradeMessage;
}

/** The error for a message that is not expected. */
export function unexpectedMessageError(text: string): Error {
  return localError("EPROTO", "upgrade", { cause: new Error(`the message is ${quote(text)}`) });
}

/**
 * Receives the next message and its descriptors; undefined if the other process has ended.
 *
 * @throws SocketError `EPROTO` for a text that is no message; `EMFILE` if too few descriptors were free for those of
 *   the message
 */
export async function receiveUpgradeMessage(
  channel: Socket,
): Promise<{ readonly message: UpgradeMessage; readonly fds: ReceivedDescriptors } | undefined> {
  try {
    const [data, fds, flags] = await recv_fds(channel, MAX_BYTES, SOCKETS_PER_MESSAGE);
    if (data.length === 0) return undefined;
    try {
      // The kernel has dropped descriptors of the message, because this process had no free numbers for them.
      if ((flags & MSG_CTRUNC) !== 0) throw localError("EMFILE", "recvmsg");
      return { message: parseMessage(data.toString()), fds };
    } catch (error) {
      fds.close();
      throw error;
    }
  } catch (error) {
    // The other process has ended and left messages unread.
    if ((error as { readonly code?: unknown }).code === "ECONNRESET") return undefined;
    throw error;
  }
}
