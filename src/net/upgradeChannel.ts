// The messages between the old program and the new one of an upgrade: JSON on a pair of SOCK_SEQPACKET sockets, which
// keeps the boundaries of messages and reports the end of the other process.
//
//   new: hello                  the descriptors are sent on request only, so a program that hangs before has none of them
//   old: sockets ...            with SCM_RIGHTS; `more` is false in the last message
//   new: ready                  with the sockets that it uses
//   old: go
//   new: serving                it accepts connections now
//   old: end of the connection  it accepts no more
//
// Instead of `ready` the new program may send `failed`, and instead of `go` the old one `no`. An end of the connection
// before `go` means that there is no upgrade.

import { type Socket, recv_fds, send_fds } from "../socket/index.js";
import type { ReceivedDescriptors } from "../cmsg/index.js";

/** The variable of the environment with the descriptor of the new program, and with its inode. */
export const UPGRADE_VARIABLE = "BERKELEY_UPGRADE";

/** The version of these messages. The two programs may have different versions of the package. */
export const UPGRADE_PROTOCOL = 1;

/** A socket of the message `sockets`; its descriptor is at the same place among those of the message. */
export interface DescribedSocket {
  readonly id: number;
  readonly names: readonly string[];
  /** The file of a UNIX socket: its path in Latin-1, device and inode. */
  readonly file?: { readonly path: string; readonly dev: string; readonly ino: string } | undefined;
}

export type UpgradeMessage =
  | { readonly type: "hello"; readonly protocol: number }
  | { readonly type: "sockets"; readonly sockets: readonly DescribedSocket[]; readonly more: boolean }
  | { readonly type: "ready"; readonly pid: number; readonly taken: readonly number[] }
  | { readonly type: "failed"; readonly summary: string; readonly detail?: string | undefined }
  | { readonly type: "go" }
  | { readonly type: "no"; readonly reason: string }
  | { readonly type: "serving" };

/** Sockets in a message: the kernel passes at most 253 descriptors, and the names must fit too. */
export const SOCKETS_PER_MESSAGE = 64;
const MAX_BYTES = 1 << 17;

export async function sendUpgradeMessage(
  control: Socket,
  message: UpgradeMessage,
  sockets: readonly Socket[] = [],
): Promise<void> {
  const text = JSON.stringify(message);
  if (sockets.length === 0) await control.send(text);
  else await send_fds(control, text, sockets);
}

/** The next message, and the descriptors that came with it; undefined if the other process has ended. */
export async function receiveUpgradeMessage(
  control: Socket,
): Promise<{ readonly message: UpgradeMessage; readonly fds: ReceivedDescriptors } | undefined> {
  try {
    const [data, fds] = await recv_fds(control, MAX_BYTES, SOCKETS_PER_MESSAGE);
    if (data.length === 0) return undefined;
    return { message: JSON.parse(data.toString()) as UpgradeMessage, fds };
  } catch (error) {
    // The other process has ended with messages unread.
    if ((error as { readonly code?: unknown }).code === "ECONNRESET") return undefined;
    throw error;
  }
}
