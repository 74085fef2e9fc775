// The addresses and options of a socket whose bytes another layer reads and writes, such as Node.js for TLS.

import { type Address, AF_INET, AF_INET6 } from "../addr/index.js";
import { SocketError } from "../errors/index.js";
import type { SocketSettings, TypedOption } from "../io.js";
import type { Calls } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { SO_KEEPALIVE, TCP_KEEPIDLE, TCP_NODELAY } from "../options/index.js";
import { getpeername, getsockname, getsockopt, setsockopt } from "../ops/plainCalls.js";
import { describeSocket, type SocketDescription } from "../ops/describeSocket.js";
import { makeDescribable } from "../registry/index.js";
import type { OpenSocket } from "../ops/runner.js";
import { closedError } from "../sys/errno.js";

/** MAX_TCP_KEEPIDLE of the kernel, in seconds. */
const MAX_KEEPIDLE = 32_767;

/** Returns the number of the descriptor, -1 once it is closed. */
type GetFd = () => number;

class Settings implements SocketSettings {
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
  readonly #socket: OpenSocket;
  readonly #getFd: GetFd;

  static {
    makeDescribable<Settings, SocketDescription>(Settings.prototype, "Socket", (settings) =>
      // The other layer has the buffered bytes and the pending calls, so this description has none.
      describeSocket(settings.#socket, settings.#getFd(), 0, []),
    );
  }

  constructor(socket: OpenSocket, getFd: GetFd) {
    this.#socket = socket;
    this.#getFd = getFd;
    this.family = socket.family;
    this.type = socket.type;
    this.protocol = socket.protocol;
  }

  getsockname(): Address {
    return getsockname(this.#socket);
  }

  getpeername(): Address {
    return getpeername(this.#socket);
  }

  getsockopt<Get>(option: TypedOption<Get, never>): Get;
  getsockopt(level: number, name: number): number;
  getsockopt(level: number, name: number, size: number): Buffer;
  getsockopt(first: unknown, second?: unknown, third?: unknown): unknown {
    return getsockopt(this.#socket, first, second, third);
  }

  setNoDelay(enable: unknown): void {
    if (this.#isTcp()) this.#set(() => this.setsockopt(TCP_NODELAY, Boolean(enable)));
  }

  /** `initialDelay` is in milliseconds; the kernel takes seconds. */
  setKeepAlive(enable: unknown, initialDelay: number): void {
    if (!this.#isTcp()) return;
    this.#set(() => this.setsockopt(SO_KEEPALIVE, Boolean(enable)));
    const seconds = Math.min(Math.trunc(initialDelay / 1000), MAX_KEEPIDLE);
    if (Boolean(enable) && seconds >= 1) this.#set(() => this.setsockopt(TCP_KEEPIDLE, seconds));
  }

  #isTcp(): boolean {
    return (this.family === AF_INET || this.family === AF_INET6) && this.type === SOCK_STREAM;
  }

  /** Sets an option and ignores a SocketError: on a connection that has ended, the option has no effect anyway. */
  #set(set: () => void): void {
    try {
      set();
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
    }
  }

  setsockopt<Set>(option: TypedOption<unknown, Set>, value: NoInfer<Set>): void;
  setsockopt(level: number, name: number, value: number | Uint8Array): void;
  setsockopt(first: unknown, second: unknown, third?: unknown): void {
    setsockopt(this.#socket, first, second, third);
  }
}

/** The settings of a socket. `getFd` returns the number of its descriptor, -1 once it is closed. */
export function settingsOf(
  { family, protocol, type }: Pick<OpenSocket, "family" | "type" | "protocol">,
  calls: Calls,
  getFd: GetFd,
): SocketSettings {
  const checkOpen = (syscall: string): number => {
    const fd = getFd();
    if (fd < 0) throw closedError(syscall);
    return fd;
  };
  return new Settings({ family, type, protocol, calls, checkOpen }, getFd);
}
