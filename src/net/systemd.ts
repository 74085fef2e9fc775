// The sockets that a service manager passed to this process, as sd_listen_fds(3) reads them from the environment.
//
// The manager passes descriptors with consecutive numbers, from 3. LISTEN_FDS is their count, LISTEN_PID is the id of
// the process that gets them, and LISTEN_FDNAMES has their names, separated by colons. Child processes inherit these
// variables. So if LISTEN_PID is the id of another process, this process has no such descriptors. A wrong value is an
// error and not ignored, because it is a mistake in a script that starts the program.

import { quote } from "../check/index.js";
import type { SocketError } from "../errors/index.js";
import { localError } from "../wait/localError.js";

/** A descriptor that the service manager passed. */
export interface ListenFd {
  /** The `FileDescriptorName=` of the unit, or the name of the unit; `"unknown"` if no names were passed. */
  readonly name: string;
  readonly fd: number;
}

/** Options of {@link listenFds}. */
export interface ListenFdsOptions {
  /** Deletes the variables from the environment, so that child processes do not inherit them. Default false. */
  readonly unsetEnv?: boolean | undefined;
  /** The environment. Default `process.env`. */
  readonly env?: Record<string, string | undefined> | undefined;
}

/** SD_LISTEN_FDS_START of sd-daemon.h. */
const FIRST_FD = 3;
/** The variables that `unsetEnv` deletes. */
const VARIABLES = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"];
const DECIMAL = /^[1-9][0-9]{0,9}$/;

/**
 * The descriptors that a service manager has passed to this process, in order; an empty array if there are none. Pass
 * one to `listen()` or `bindUdp()` as `fd:N`.
 *
 * @throws SocketError `EINVAL` if the variables are wrong or inconsistent; `cause` says why
 * @see sd_listen_fds_with_names(3), systemd.socket(5)
 * @example
 * ```ts
 * import { listenFds } from "berkeley";
 *
 * const env = { LISTEN_PID: String(process.pid), LISTEN_FDS: "2", LISTEN_FDNAMES: "http:https" };
 * for (const { name, fd } of listenFds({ env })) console.log(name, fd);
 * // prints: http 3
 * // prints: https 4
 * ```
 */
export function listenFds(opts: ListenFdsOptions = {}): ListenFd[] {
  const env = opts.env ?? process.env;
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: names } = env;
  try {
    return parseVariables(pid, count, names);
  } finally {
    if (opts.unsetEnv === true) for (const name of VARIABLES) delete env[name];
  }
}

function parseVariables(pid: string | undefined, count: string | undefined, names: string | undefined): ListenFd[] {
  if (pid === undefined && count === undefined) return [];
  if (pid === undefined || !DECIMAL.test(pid)) {
    throw invalidError(`LISTEN_PID is ${quote(pid)}, required the id of a process`);
  }
  if (Number(pid) !== process.pid) return [];
  if (count === undefined || !/^(?:0|[1-9][0-9]{0,5})$/.test(count)) {
    throw invalidError(`LISTEN_FDS is ${quote(count)}, required the number of descriptors`);
  }
  const total = Number(count);
  const nameList = names?.split(":");
  if (nameList !== undefined && nameList.length !== total) {
    throw invalidError(`LISTEN_FDNAMES has ${nameList.length} names, required ${total}, one for each descriptor`);
  }
  return Array.from({ length: total }, (_, index) => ({ name: nameList?.[index] ?? "unknown", fd: FIRST_FD + index }));
}

function invalidError(message: string): SocketError {
  return localError("EINVAL", "sd_listen_fds", { cause: new Error(message) });
}

/** The only descriptor that was passed under a name. @throws SocketError `ENOENT`, `EINVAL` if there are several */
export function listenFdNamed(name: string, unsetEnv: boolean): number {
  const withName = listenFds({ unsetEnv }).filter((passed) => passed.name === name);
  const [first] = withName;
  if (first === undefined) {
    const cause = new Error(`the service manager passed no descriptor under the name ${quote(name)}`);
    throw localError("ENOENT", "sd_listen_fds", { cause });
  }
  if (withName.length === 1) return first.fd;
  const fds = withName.map(({ fd }) => `fd:${fd}`).join(", ");
  const cause = new Error(`${withName.length} descriptors have the name ${quote(name)}, required one; use ${fds}`);
  throw localError("EINVAL", "sd_listen_fds", { cause });
}
