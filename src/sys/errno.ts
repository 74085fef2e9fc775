// The numbers of errno(3), and the one function that converts -errno to an error.

import { SocketError, type SocketErrorDetails, withClosedReason } from "../errors/index.js";
import { addon } from "./addon.js";

/** The name of each errno. Created for the first error, so that the import of the package takes less time. */
let namesByNumber: Map<number, string> | undefined;

function negativeErrno(name: string): number {
  const value = addon.errnos[name];
  if (value === undefined) throw new Error(`Cannot load berkeley: the addon has no number for ${name}`);
  return -value;
}

// Negative, as the calls return them.
export const EACCES: number = negativeErrno("EACCES");
export const EAFNOSUPPORT: number = negativeErrno("EAFNOSUPPORT");
export const EAGAIN: number = negativeErrno("EAGAIN");
export const EALREADY: number = negativeErrno("EALREADY");
export const EBADF: number = negativeErrno("EBADF");
export const ECANCELED: number = negativeErrno("ECANCELED");
export const ECONNABORTED: number = negativeErrno("ECONNABORTED");
export const ECONNRESET: number = negativeErrno("ECONNRESET");
export const EFAULT: number = negativeErrno("EFAULT");
export const EHOSTDOWN: number = negativeErrno("EHOSTDOWN");
export const EHOSTUNREACH: number = negativeErrno("EHOSTUNREACH");
export const EINPROGRESS: number = negativeErrno("EINPROGRESS");
export const EINTR: number = negativeErrno("EINTR");
export const EINVAL: number = negativeErrno("EINVAL");
export const EIO: number = negativeErrno("EIO");
export const EISCONN: number = negativeErrno("EISCONN");
export const EMFILE: number = negativeErrno("EMFILE");
export const ENETDOWN: number = negativeErrno("ENETDOWN");
export const ENETUNREACH: number = negativeErrno("ENETUNREACH");
export const ENFILE: number = negativeErrno("ENFILE");
export const ENOBUFS: number = negativeErrno("ENOBUFS");
export const ENODEV: number = negativeErrno("ENODEV");
export const ENOMEM: number = negativeErrno("ENOMEM");
export const ENONET: number = negativeErrno("ENONET");
export const ENOPROTOOPT: number = negativeErrno("ENOPROTOOPT");
export const ENOTCONN: number = negativeErrno("ENOTCONN");
export const ENOTSOCK: number = negativeErrno("ENOTSOCK");
export const EPERM: number = negativeErrno("EPERM");
export const EPIPE: number = negativeErrno("EPIPE");
export const EPROTO: number = negativeErrno("EPROTO");
export const ETIMEDOUT: number = negativeErrno("ETIMEDOUT");

/** The name of a negative errno, `"ECONNREFUSED"` for -111. A number without a name gives text such as `"E4095"`. */
export function errnoName(errno: number): string {
  // EAGAIN, EDEADLK and EOPNOTSUPP each have a second name, such as EWOULDBLOCK, which the addon does not export.
  namesByNumber ??= new Map(Object.entries(addon.errnos).map(([name, value]) => [value, name]));
  return namesByNumber.get(-errno) ?? `E${-errno}`;
}

const EMFILE_HINT = "the process has as many descriptors as its limit RLIMIT_NOFILE permits (ulimit -n)";

/** The error for the negative result of a call. No other function converts the -errno of a call. */
export function socketError(errno: number, syscall: string, details?: SocketErrorDetails): SocketError {
  if (errno === EMFILE) return new SocketError("EMFILE", errno, syscall, { ...details, hint: EMFILE_HINT });
  // The kernel returns no ECANCELED for sockets. So close() or detach() has ended a waiting call, or the environment
  // ends.
  if (errno === ECANCELED) return new SocketError("ECANCELED", errno, syscall, withClosedReason("ECANCELED", details));
  return new SocketError(errnoName(errno), errno, syscall, details);
}

/**
 * The error of a call on an object that this program has already closed. For EBADF of the kernel, which means that
 * other code has closed the descriptor, use `socketError(EBADF)`.
 */
export function closedError(syscall: string, details?: SocketErrorDetails): SocketError {
  return new SocketError("EBADF", EBADF, syscall, withClosedReason("EBADF", details));
}

/** Returns `result` of a call if it is >= 0, and otherwise throws its error. */
export function check(result: number, syscall: string, details?: () => SocketErrorDetails | undefined): number {
  if (result >= 0) return result;
  throw socketError(result, syscall, details?.());
}
