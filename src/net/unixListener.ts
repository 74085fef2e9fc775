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
// socket is open, for as long as the kernel holds the file and cannot give its number to another one. A relative path is one of
// the directory that was the current one when it was bound, so that directory's path is taken note of; a file of which
// somebody has moved the directory stays.
//
// Names are bytes; node:fs takes them as Buffers.

import { Buffer } from "node:buffer";
import type { BigIntStats } from "node:fs";
import { fs } from "../builtins.js";
import type { UnixAddress } from "../addr/index.js";
import { AF_UNIX } from "../addr/index.js";
import { SocketError } from "../errors/index.js";
import { Socket } from "../socket/index.js";
import { SOCK_DGRAM, SOCK_STREAM } from "../sys/constants.js";
import { addressDetails } from "../sys/sockaddr.js";

/** How often the path is attempts when others make and remove files there at the same time. */
const TRIES = 5;
const SLASH = 0x2f;

/** A socket that is bound to a name, and what removes its file right before it is closed. */
export interface BoundUnix {
  readonly socket: Socket;
  readonly remove: (() => void) | undefined;
}

/** Binds a stream socket to a path or an abstract name, and lets it listen. */
export async function listenUnix(address: UnixAddress, mode: number | undefined, backlog: number): Promise<BoundUnix> {
  const socket = new Socket(AF_UNIX, SOCK_STREAM);
  let file: File | undefined;
  let created: BigIntStats | undefined;
  try {
    if (address.path.startsWith("\0")) {
      await socket.bind(address);
      socket.listen(backlog);
      return { socket, remove: undefined };
    }
    if (mode !== undefined) withSocketErrors(address, () => fs().fchmodSync(socket.fileno(), mode));
    const bound = (file = await bindPath(socket, address));
    const made = (created = withSocketErrors(address, () => fs().lstatSync(bound, { bigint: true })));
    if (mode !== undefined && (Number(made.mode) & 0o777) !== mode)
      withSocketErrors(address, () => fs().chmodSync(bound, mode));
    socket.listen(backlog);
    return { socket, remove: () => removeIfSame(bound, made) };
  } catch (error) {
    if (file !== undefined && created !== undefined) removeIfSame(file, created);
    socket.close();
    throw error;
  }
}

/** The absolute path of a file, as node:fs takes it. */
type File = Buffer;

/** Where the path leads at this moment. It may be longer than an address of a socket can be. */
function absolute({ bytes }: UnixAddress): File {
  if (bytes[0] === SLASH) return Buffer.from(bytes);
  // The kernel's word, for process.cwd() is text.
  return Buffer.concat([fs().readlinkSync("/proc/self/cwd", { encoding: "buffer" }), Buffer.from("/"), bytes]);
}

/** Makes a call of node:fs; its error is withSocketErrors as those of all other calls are. */
function withSocketErrors<T>(address: UnixAddress, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    const { code, errno, syscall } = cause as NodeJS.ErrnoException;
    if (code === undefined || errno === undefined || syscall === undefined) throw cause;
    throw new SocketError(code, errno, syscall, { ...addressDetails(address), cause });
  }
}

/** Returns the file that was made. */
async function bindPath(socket: Socket, address: UnixAddress): Promise<File> {
  for (let left = TRIES; ; left--) {
    const file = withSocketErrors(address, () => absolute(address));
    try {
      // Binds before it returns, since no name has to be resolved: the current directory is the same as above.
      await socket.bind(address);
      return file;
    } catch (error) {
      if (!(error instanceof SocketError) || error.code !== "EADDRINUSE" || left === 0) throw error;
      if (!(await removeStale(address, file))) throw error;
    }
  }
}

/** Removes what is at the path if it is a socket that nobody has open. False when it has to stay. */
async function removeStale(address: UnixAddress, file: File): Promise<boolean> {
  const found = withSocketErrors(address, () => fileStatus(file));
  if (found === undefined) return true;
  if (!found.isSocket() || !(await isUnused(address))) return false;
  const now = withSocketErrors(address, () => fileStatus(file));
  if (now !== undefined && isSameFile(now, found) && now.ctimeNs === found.ctimeNs)
    withSocketErrors(address, () => fs().unlinkSync(file));
  return true;
}

async function isUnused(address: UnixAddress): Promise<boolean> {
  await using probe = new Socket(AF_UNIX, SOCK_DGRAM);
  try {
    await probe.connect(address, { timeout: 0 });
    return false;
  } catch (error) {
    const { code } = error as SocketError;
    return code === "ECONNREFUSED" || code === "ENOENT";
  }
}

function fileStatus(file: File): BigIntStats | undefined {
  return fs().lstatSync(file, { bigint: true, throwIfNoEntry: false });
}

function isSameFile(a: BigIntStats, b: BigIntStats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

function removeIfSame(file: File, created: BigIntStats): void {
  try {
    const now = fileStatus(file);
    if (now !== undefined && isSameFile(now, created)) fs().unlinkSync(file);
  } catch {
    // A process that has given up its privileges may not remove it; the next one to listen there will.
  }
}
