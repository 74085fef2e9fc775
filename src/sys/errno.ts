// Errno values, and the one function that turns -errno into an error.

import { SocketError, type SocketErrorDetails } from "../errors/index.js";
import { addon } from "./addon.js";

const names = new Map<number, string>();
// Where two names share a number the addon has one of them: EAGAIN, EDEADLK, EOPNOTSUPP.
for (const [name, value] of Object.entries(addon.errnos)) names.set(value, name);

function negative(name: string): number {
  const value = addon.errnos[name];
  if (value === undefined) throw new Error(`the addon lacks the errno ${name}`);
  return -value;
}

// As the calls return them: negative.
export const EAFNOSUPPORT: number = negative("EAFNOSUPPORT");
export const EAGAIN: number = negative("EAGAIN");
export const EALREADY: number = negative("EALREADY");
export const EBADF: number = negative("EBADF");
export const ECANCELED: number = negative("ECANCELED");
export const ECONNABORTED: number = negative("ECONNABORTED");
export const ECONNRESET: number = negative("ECONNRESET");
export const EFAULT: number = negative("EFAULT");
export const EHOSTDOWN: number = negative("EHOSTDOWN");
export const EHOSTUNREACH: number = negative("EHOSTUNREACH");
export const EINPROGRESS: number = negative("EINPROGRESS");
export const EINTR: number = negative("EINTR");
export const EINVAL: number = negative("EINVAL");
export const EIO: number = negative("EIO");
export const EISCONN: number = negative("EISCONN");
export const EMFILE: number = negative("EMFILE");
export const ENETDOWN: number = negative("ENETDOWN");
export const ENETUNREACH: number = negative("ENETUNREACH");
export const ENFILE: number = negative("ENFILE");
export const ENOBUFS: number = negative("ENOBUFS");
export const ENODEV: number = negative("ENODEV");
export const ENOMEM: number = negative("ENOMEM");
export const ENONET: number = negative("ENONET");
export const ENOPROTOOPT: number = negative("ENOPROTOOPT");
export const ENOTCONN: number = negative("ENOTCONN");
export const ENOTSOCK: number = negative("ENOTSOCK");
export const EPERM: number = negative("EPERM");
export const EPIPE: number = negative("EPIPE");
export const EPROTO: number = negative("EPROTO");
export const ETIMEDOUT: number = negative("ETIMEDOUT");

/** `"ECONNREFUSED"` for `-111` on Linux; a number that the platform does not name gives `"E111"`-like text. */
export function errnoName(errno: number): string {
  return names.get(-errno) ?? `E${-errno}`;
}

/** The error for what a call returned: the only place that makes a {@link SocketError} of an errno. */
export function socketError(errno: number, syscall: string, details?: SocketErrorDetails): SocketError {
  return new SocketError(errnoName(errno), errno, syscall, details);
}

/** Passes on what a call returned if it is >= 0, and throws its error otherwise. */
export function check(result: number, syscall: string, details?: () => SocketErrorDetails | undefined): number {
  if (result >= 0) return result;
  throw socketError(result, syscall, details?.());
}
