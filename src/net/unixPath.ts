// Binds a UNIX socket to a path: creates the file, replaces a stale file, and removes the file at the end; unix(7).
// Both listeners and datagram sockets are bound here.
//
// Mode. connect(2) requires write permission on the file. bind(2) creates the file with the mode of the socket without
// the bits of the umask (unix_bind_bsd in net/unix/af_unix.c). fchmod(2) changes the mode of the socket. So the mode is
// set on the socket before bind(2), and the file never has more bits than `mode`. After bind(2), chmod(2) adds the bits
// that the umask has removed. For a listener, listen(2) comes last, because until then the kernel refuses every
// connect(2). The umask itself is not changed, because all threads share it.
//
// The permissions of the directory must protect the path: a process that may rename files there can replace the socket.
//
// Stale files. After a crash the file stays, and bind(2) fails with EADDRINUSE. The file is removed if it is a socket
// that no process has open. As a check, a datagram socket connects to the file:
// - Success: a process has a datagram socket open there.
// - ECONNREFUSED: no process has the socket open.
// - EPROTOTYPE (unix_find_bsd): a process has a stream socket open there, even if it has not called listen(2) yet.
// - EPERM: a process has a datagram socket open there that is connected to another peer.
// A process that has the socket open does not notice the check.
//
// Two servers may find the same stale file at the same time, and one of them may already have replaced it. So, right
// before the removal, the file is compared with the file that was checked.
//
// Removal. Closing the socket removes the file if device and inode are still those of the socket's file. Device and
// inode are compared while the socket is open, because the kernel can give the inode to another file only after the
// socket is closed. A relative path depends on the current directory, so the absolute path is stored at bind(2). If the
// directory of the file is moved afterwards, the file stays.
//
// Paths are bytes, which node:fs takes as Buffers.

import { Buffer } from "node:buffer";
import type { BigIntStats } from "node:fs";
import { fs } from "../builtins.js";
import type { UnixAddress } from "../addr/index.js";
import { AF_UNIX } from "../addr/index.js";
import { SocketError } from "../errors/index.js";
import { Socket } from "../socket/index.js";
import { SOCK_DGRAM } from "../sys/constants.js";
import { runtime } from "../sys/runtime.js";
import { addressDetails } from "../sys/sockaddr.js";

/** Maximum number of repeated bind(2) calls. Each can fail, because other processes may create files at the path. */
const MAX_RETRIES = 5;
const SLASH_BYTE = 0x2f;

/** The file of a bound socket. */
export class UnixFile {
  /** The absolute path. */
  readonly path: FilePath;
  readonly dev: bigint;
  readonly ino: bigint;
  /** Whether `remove()` does nothing, because another process has the socket too and will remove the file. */
  kept: boolean = false;

  constructor(path: FilePath, { dev, ino }: FileIdentity) {
    this.path = path;
    this.dev = dev;
    this.ino = ino;
  }

  /** Removes the file if it is still that of the socket. Call it before the socket is closed. */
  readonly remove = (): void => {
    if (!this.kept) removeIfSameFile(this.path, this);
  };
}

/** A bound socket, and its file if it has one. */
export interface BoundUnix {
  readonly socket: Socket;
  readonly file: UnixFile | undefined;
}

/**
 * Makes a socket at a path or an abstract name. For an empty address the kernel chooses an abstract name (autobind).
 *
 * @param mode the permissions of the file; undefined for those that bind(2) gives it
 * @param steps `prepare` is called before bind(2). `start` is called after bind(2), when the file has its mode. If one
 *   of them throws, the call closes the socket, and removes the file if it was created
 */
export async function bindUnix(
  address: UnixAddress,
  type: number,
  mode: number | undefined,
  { prepare, start }: { prepare?: (socket: Socket) => void; start?: (socket: Socket) => void | Promise<void> },
): Promise<BoundUnix> {
  const socket = new Socket(AF_UNIX, type);
  let path: FilePath | undefined;
  let created: BigIntStats | undefined;
  try {
    prepare?.(socket);
    if (address.path === "" || address.path.startsWith("\0")) {
      await socket.bind(address);
      await start?.(socket);
      return { socket, file: undefined };
    }
    if (mode !== undefined) withSocketErrors(address, () => setSocketMode(socket, mode));
    const boundPath = await bindPath(socket, address);
    path = boundPath;
    const status = withSocketErrors(address, () => fs().lstatSync(boundPath, { bigint: true }));
    created = status;
    if (mode !== undefined && (Number(status.mode) & 0o777) !== mode) setMode(address, boundPath, mode);
    await start?.(socket);
    return { socket, file: new UnixFile(boundPath, status) };
  } catch (error) {
    if (path !== undefined && created !== undefined) removeIfSameFile(path, created);
    socket.close();
    throw error;
  }
}

function setSocketMode(socket: Socket, mode: number): void {
  // fchmod() of Deno's node:fs takes only descriptors that Deno has opened.
  if (runtime.name === "Deno") fs().chmodSync(`/proc/self/fd/${socket.fileno()}`, mode);
  else fs().fchmodSync(socket.fileno(), mode);
}

/** Sets the mode of the file. */
export function setMode(address: UnixAddress, path: FilePath, mode: number): void {
  withSocketErrors(address, () => fs().chmodSync(path, mode));
}

/** The device and inode of a file, which identify it. */
type FileIdentity = Pick<BigIntStats, "dev" | "ino">;

/** An absolute path, as node:fs takes it. */
export type FilePath = Buffer;

/** The absolute path of an address. It may be longer than the path in a `sockaddr_un`. */
export function absolutePath({ bytes }: UnixAddress): FilePath {
  if (bytes[0] === SLASH_BYTE) return Buffer.from(bytes);
  // Read from the kernel as bytes, because process.cwd() is a string.
  return Buffer.concat([fs().readlinkSync("/proc/self/cwd", { encoding: "buffer" }), Buffer.from("/"), bytes]);
}

/** Runs a call of node:fs, and converts its error to a SocketError. */
function withSocketErrors<T>(address: UnixAddress, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    const { code, errno, syscall } = cause as NodeJS.ErrnoException;
    if (code === undefined || errno === undefined || syscall === undefined) throw cause;
    throw new SocketError(code, errno, syscall, { ...addressDetails(address), cause });
  }
}

/** Binds the socket to its path. Returns the path of the new file. */
async function bindPath(socket: Socket, address: UnixAddress): Promise<FilePath> {
  for (let retriesLeft = MAX_RETRIES; ; retriesLeft--) {
    const path = withSocketErrors(address, () => absolutePath(address));
    try {
      // bind() makes its system call before it returns, so the current directory is still that of absolutePath().
      await socket.bind(address);
      return path;
    } catch (error) {
      const fileExists = error instanceof SocketError && error.code === "EADDRINUSE";
      if (!fileExists || retriesLeft === 0) throw error;
      if (!(await removeStale(address, path))) throw error;
    }
  }
}

/** Removes the file if it is a socket that no process has open. Returns whether another bind(2) may succeed. */
async function removeStale(address: UnixAddress, path: FilePath): Promise<boolean> {
  const checked = withSocketErrors(address, () => fileStatus(path));
  if (checked === undefined) return true;
  if (!checked.isSocket() || !(await isUnused(address))) return false;
  const present = withSocketErrors(address, () => fileStatus(path));
  // Another file can get the inode of a removed one, but it has another ctime.
  const isUnchanged = present !== undefined && isSameFile(present, checked) && present.ctimeNs === checked.ctimeNs;
  if (isUnchanged) withSocketErrors(address, () => fs().unlinkSync(path));
  return true;
}

/** Whether no process has the socket at an address open. Also true if the file does not exist. */
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

/** The status of the file; undefined if it does not exist. */
function fileStatus(path: FilePath): BigIntStats | undefined {
  return fs().lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

function isSameFile(one: FileIdentity, other: FileIdentity): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}

/** Removes the file at a path if it is still the file that was created. */
function removeIfSameFile(path: FilePath, created: FileIdentity): void {
  try {
    const present = fileStatus(path);
    if (present !== undefined && isSameFile(present, created)) fs().unlinkSync(path);
  } catch {
    // If the process has given up its privileges, it may not be permitted to remove the file. The next listener
    // replaces the file.
  }
}
