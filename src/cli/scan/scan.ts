// Scans ports by connect(2). The rate and the number of simultaneous connections are limited.

import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

import { Inet6Address, InetAddress, SO_LINGER, SOCK_STREAM, Socket, SocketError } from "berkeley";

import { type HostAddress, hostOf } from "../frame/hosts.js";

export type PortState = "open" | "closed" | "filtered";

export interface PortResult {
  readonly host: string;
  readonly port: number;
  readonly state: PortState;
  /** ms until the answer. */
  readonly time: number;
  /** The error code of connect(2), if it has failed. */
  readonly error?: string;
}

export interface ScanOptions {
  readonly ports: readonly number[];
  /** Maximum number of connections that are begun per second. */
  readonly rate: number;
  /** Maximum number of simultaneous connections. */
  readonly parallel: number;
  /** ms after which a port without an answer is filtered. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  /** Called with each result, in the order of the ports. */
  readonly onResult: (result: PortResult) => void;
}

/** Error codes of a filtered port: a router or a firewall refused, or no answer came in time. */
const FILTERED: ReadonlySet<string> = new Set([
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EACCES",
  "EPERM",
  "EHOSTDOWN",
  "ENONET",
  "EPROTO",
  "ENOPROTOOPT",
]);

/** Scans the ports. Resolves when each has a result. */
export async function scan(address: HostAddress, options: ScanOptions): Promise<void> {
  const { ports, rate, parallel, signal, onResult } = options;
  const results: (PortResult | undefined)[] = [];
  const began = performance.now();
  /** Aborted with the first error of a worker (see runWorker). The abort ends the other workers. */
  const failing = new AbortController();
  const ending = AbortSignal.any([signal, failing.signal]);
  // Each waiting connection adds a listener, so the warning about many listeners is switched off.
  setMaxListeners(0, ending);
  let nextIndex = 0;
  let nextToReport = 0;
  /** Scans one port after the other, until no port is left. Several workers run at the same time. */
  const runWorker = async (): Promise<void> => {
    while (nextIndex < ports.length) {
      const index = nextIndex++;
      const delay = began + (index * 1000) / rate - performance.now();
      if (delay >= 1) await sleep(delay, undefined, { signal: ending });
      ending.throwIfAborted();
      results[index] = await probe(address, ports[index]!, options.timeout, ending);
      // Reports all results in the order of the ports, up to the first port that has no result yet.
      for (let next = results[nextToReport]; next !== undefined; next = results[++nextToReport]) onResult(next);
    }
  };
  try {
    await Promise.all(
      Array.from({ length: Math.min(parallel, ports.length) }, async () => {
        try {
          await runWorker();
        } catch (error) {
          failing.abort(error);
          throw error;
        }
      }),
    );
  } catch (error) {
    signal.throwIfAborted();
    throw failing.signal.aborted ? failing.signal.reason : error;
  }
}

async function probe(address: HostAddress, port: number, timeout: number, signal: AbortSignal): Promise<PortResult> {
  const host = hostOf(address);
  const target =
    address instanceof InetAddress
      ? new InetAddress(address.host, port)
      : new Inet6Address(address.host, port, address.flowinfo, address.scopeid);
  await using socket = new Socket(address.family, SOCK_STREAM);
  // With SO_LINGER 0, closing resets the connection. A reset leaves no connection in TIME-WAIT. A scan would otherwise
  // leave thousands of them.
  socket.setsockopt(SO_LINGER, 0);
  const began = performance.now();
  const elapsed = (): number => Number((performance.now() - began).toFixed(3));
  try {
    await socket.connect(target, { timeout, signal });
    // If this machine scans itself, the kernel may choose the scanned port as the source port. Then the socket is
    // connected to itself (RFC 9293, section 3.5).
    const local = socket.getsockname();
    const isSelfConnected = local.port === port && local.host === address.host;
    return { host, port, state: isSelfConnected ? "closed" : "open", time: elapsed() };
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    if (error.code === "ECONNREFUSED") return { host, port, state: "closed", time: elapsed(), error: error.code };
    if (FILTERED.has(error.code)) return { host, port, state: "filtered", time: elapsed(), error: error.code };
    throw error;
  }
}

/** Whether an address belongs to this machine or to a private network: RFC 1918, 3927, 4193, 4291 and 6598. */
export function isPrivate(address: HostAddress): boolean {
  const { host } = address;
  if (address instanceof Inet6Address) {
    const mappedInet4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(host)?.[1];
    if (mappedInet4 !== undefined) return isPrivate(new InetAddress(mappedInet4, 0));
    // ::1, fe80::/10 (link-local) and fc00::/7 (unique local). A shorter first group has leading zeros.
    return /^(?:::1$|fe[89ab][\da-f]:|f[cd][\da-f]{2}:)/.test(host);
  }
  const [a = 0, b = 0] = host.split(".").map(Number);
  // 10.0.0.0/8 and 127.0.0.0/8
  if (a === 10 || a === 127) return true;
  // 192.168.0.0/16, 169.254.0.0/16, 172.16.0.0/12, 100.64.0.0/10
  return (
    (a === 192 && b === 168) || (a === 169 && b === 254) || (a === 172 && b >> 4 === 1) || (a === 100 && b >> 6 === 1)
  );
}
