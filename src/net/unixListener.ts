// Listening at a path: the file of a UNIX socket, from before it is made until after it is gone; unix(7).
//
// Mode. To connect takes the permission to write to the file. bind(2) makes the file with the mode of the socket itself,
// less the umask (unix_bind_bsd in net/unix/af_unix.c), and a socket's mode is changed by fchmod(2). So the mode is set on the
// socket first: the file never has a bit too many. What the umask took is added by chmod(2) before listen(2), until when
// every connect(2) is refused. The umask itself is left alone, as it belongs to all threads. Whoever can rename files in the
// directory can put something else at the path at any time; the directory has to keep such people out.
//
// A file that is left over. After a crash the file stays, and bind(2) says EADDRINUSE for ever. Such a file is removed if it
// is a socket and no process has it open. That is found out by connecting a datagram socket to it: ECONNREFUSED means that
// nobody has it, and a listener, whose type differs, gives EPROTOTYPE (unix_find_bsd) and hears nothing of it, whether it
// listens already or is just about to. Between two servers that find the same file at the same time the second one looks again,
// right before it removes anything, whether the file is still the one that it asked about.
//
// The end. The file is removed when the listener is closed, if it is still the same: number and device are compared while the
// socket is open, for as long as the kernel holds the file and cannot give its number to another one.

import { chmodSync, fchmodSync, lstatSync, unlinkSync, type BigIntStats } from "node:fs";
import type { UnixAddress } from "../addr/index.js";
import { AF_UNIX } from "../addr/index.js";
import { SocketError } from "../errors.js";
import { Socket } from "../socket/index.js";
import { SOCK_DGRAM, SOCK_STREAM } from "../sys/constants.js";

/** How often the path is tried when others make and remove files there at the same time. */
const TRIES = 5;

/** A socket that is bound to a name, and what has to be done right before it is closed. */
export interface BoundUnix {
  readonly socket: Socket;
  readonly closing: (() => void) | undefined;
}

/** Binds a stream socket to a path or an abstract name, and lets it listen. */
export async function listenUnix(address: UnixAddress, mode: number | undefined, backlog: number): Promise<BoundUnix> {
  const socket = new Socket(AF_UNIX, SOCK_STREAM);
  const { path } = address;
  let own: BigIntStats | undefined;
  try {
    if (path.startsWith("\0")) {
      await socket.bind(address);
      socket.listen(backlog);
      return { socket, closing: undefined };
    }
    if (mode !== undefined) fchmodSync(socket.fileno(), mode);
    await bindPath(socket, address);
    const made = (own = lstatSync(path, { bigint: true }));
    if (mode !== undefined && (Number(made.mode) & 0o777) !== mode) chmodSync(path, mode);
    socket.listen(backlog);
    return { socket, closing: () => removeOwn(path, made) };
  } catch (error) {
    if (own !== undefined) removeOwn(path, own);
    socket.close();
    throw error;
  }
}

async function bindPath(socket: Socket, address: UnixAddress): Promise<void> {
  for (let left = TRIES; ; left--) {
    try {
      await socket.bind(address);
      return;
    } catch (error) {
      if (!(error instanceof SocketError) || error.code !== "EADDRINUSE" || left === 0) throw error;
      if (!(await removeStale(address))) throw error;
    }
  }
}

/** Removes what is at the path if it is a socket that nobody has open. False when it has to stay. */
async function removeStale(address: UnixAddress): Promise<boolean> {
  const { path } = address;
  const found = look(path);
  if (found === undefined) return true;
  if (!found.isSocket() || !(await isDead(address))) return false;
  const now = look(path);
  if (now !== undefined && isSame(now, found) && now.ctimeNs === found.ctimeNs) unlinkSync(path);
  return true;
}

async function isDead(address: UnixAddress): Promise<boolean> {
  await using probe = new Socket(AF_UNIX, SOCK_DGRAM);
  try {
    await probe.connect(address, { timeout: 0 });
    return false;
  } catch (error) {
    const { code } = error as SocketError;
    return code === "ECONNREFUSED" || code === "ENOENT";
  }
}

function look(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

function removeOwn(path: string, own: BigIntStats): void {
  try {
    const now = look(path);
    if (now !== undefined && isSame(now, own)) unlinkSync(path);
  } catch {
    // A process that has given up its privileges may not remove it; the next one to listen there will.
  }
}
