// The socket below TLS: Node and the kernel exchange records on it. A read would take a part of a record, and a write
// would put bytes between two records.

import { TlsError } from "../errors/index.js";
import type { SocketSettings } from "../io.js";

/** The calls of a `Socket` that receive or send and return a promise. */
const WAITING =
  "recv recvInto recvfrom recvfromInto recvmsg recvmsgInto recvmmsg send sendAll sendto sendmsg sendmmsg sendSegments sendfile";
/** Those that return at once. `shutdown` sends the end of the connection without close_notify. */
const IMMEDIATE = ["tryRecv", "tryRecvInto", "trySend", "shutdown"];

function refusal(call: string): TlsError {
  const reason = "the socket carries records of TLS, required a call of the stream or the connection above";
  return new TlsError("ERR_TLS_SOCKET", `Cannot ${call}`, reason);
}

let refusing: PropertyDescriptorMap | undefined;

/**
 * Adds the calls of a `Socket` that transfer bytes, each of which fails with `ERR_TLS_SOCKET`. Their declarations are
 * missing on purpose: a program in JavaScript, or one with a cast, gets this code instead of "is not a function".
 */
export function refuseTransfers(settings: SocketSettings | undefined): SocketSettings | undefined {
  if (settings === undefined) return undefined;
  refusing ??= Object.fromEntries([
    ...WAITING.split(" ").map(
      (name) => [name, { value: (): Promise<never> => Promise.reject(refusal(name)) }] as const,
    ),
    ...IMMEDIATE.map((name) => {
      const refuse = (): never => {
        throw refusal(name);
      };
      return [name, { value: refuse }] as const;
    }),
  ]);
  return Object.defineProperties(settings, refusing);
}
