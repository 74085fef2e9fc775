// getaddrinfo(3) as a promise, and its errors.

import { SocketError } from "../errors.js";
import type { AddrinfoEntry, Calls } from "./calls.js";
import {
  EAI_ADDRFAMILY,
  EAI_AGAIN,
  EAI_BADFLAGS,
  EAI_FAIL,
  EAI_FAMILY,
  EAI_MEMORY,
  EAI_NODATA,
  EAI_NONAME,
  EAI_OVERFLOW,
  EAI_SERVICE,
  EAI_SOCKTYPE,
  EAI_SYSTEM,
} from "./constants.js";
import { check, socketError } from "./errno.js";

const names: ReadonlyMap<number, string> = new Map([
  [EAI_ADDRFAMILY, "EAI_ADDRFAMILY"],
  [EAI_AGAIN, "EAI_AGAIN"],
  [EAI_BADFLAGS, "EAI_BADFLAGS"],
  [EAI_FAIL, "EAI_FAIL"],
  [EAI_FAMILY, "EAI_FAMILY"],
  [EAI_MEMORY, "EAI_MEMORY"],
  [EAI_NODATA, "EAI_NODATA"],
  [EAI_NONAME, "EAI_NONAME"],
  [EAI_OVERFLOW, "EAI_OVERFLOW"],
  [EAI_SERVICE, "EAI_SERVICE"],
  [EAI_SOCKTYPE, "EAI_SOCKTYPE"],
]);

/** The error for a status of getaddrinfo(3) or getnameinfo(3): an EAI_ code, or the errno behind EAI_SYSTEM. */
export function resolverError(
  calls: Calls,
  status: number,
  errno: number,
  syscall: string,
  host: string | null,
): SocketError {
  const address = host === null ? undefined : host;
  if (status === EAI_SYSTEM) return socketError(-errno, syscall, { address });
  return new SocketError(names.get(status) ?? `EAI_${-status}`, status, syscall, {
    address,
    cause: new Error(calls.gaiStrerror(status)),
  });
}

/** Asks the resolver, on the thread pool. Rejects with an EAI_ code. */
export function lookup(
  calls: Calls,
  host: string | null,
  service: string | null,
  family: number,
  type: number,
  protocol: number,
  flags: number,
): Promise<readonly AddrinfoEntry[]> {
  return new Promise((resolve, reject) => {
    const result = calls.getaddrinfo(host, service, family, type, protocol, flags, (status, errno, entries) => {
      if (status === 0 && entries !== null) resolve(entries);
      else reject(resolverError(calls, status, errno, "getaddrinfo", host));
    });
    check(result, "getaddrinfo");
  });
}
