// Refuses reads and writes of the socket below TLS. Node and the kernel exchange records on this socket. Another read
// would take a part of a record, and another write would put bytes between two records.

import { TlsError } from "../errors/index.js";
import type { SocketSettings } from "../io.js";

/** The calls of a `Socket` that receive or send, and return a promise. */
const ASYNC_CALLS =
  "recv recvInto recvfrom recvfromInto recvmsg recvmsgInto recvmmsg send sendAll sendto sendmsg sendmmsg " +
  "sendSegments sendfile";
/**
 * The calls that receive or send, and return no promise. `shutdown` is refused too, because it would end the connection
 * without close_notify.
 */
const SYNC_CALLS = ["tryRecv", "tryRecvInto", "trySend", "shutdown"];

function refusal(call: string): TlsError {
  const reason = "the socket carries records of TLS, required a call of the stream or the connection above";
  return new TlsError("ERR_TLS_SOCKET", `Cannot ${call}`, reason);
}

let refusedCalls: PropertyDescriptorMap | undefined;

/**
 * Adds to `settings` those calls of a `Socket` that transfer bytes. Each of these calls fails with `ERR_TLS_SOCKET`.
 * The type SocketSettings does not declare them. But a program in JavaScript may call one, and then gets this code
 * instead of "is not a function".
 */
export function refuseTransfers(settings: SocketSettings | undefined): SocketSettings | undefined {
  if (settings === undefined) return undefined;
  refusedCalls ??= Object.fromEntries([
    ...ASYNC_CALLS.split(" ").map(
      (name) => [name, { value: (): Promise<never> => Promise.reject(refusal(name)) }] as const,
    ),
    ...SYNC_CALLS.map((name) => {
      const refuse = (): never => {
        throw refusal(name);
      };
      return [name, { value: refuse }] as const;
    }),
  ]);
  return Object.defineProperties(settings, refusedCalls);
}
