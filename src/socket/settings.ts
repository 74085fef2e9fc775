// A socket whose descriptor Node reads from and writes to: its addresses and options are still ours to ask for and to set.

import { type Address, AF_INET, AF_INET6 } from "../addr/index.js";
import { SocketError } from "../errors/index.js";
import type { SocketSettings, TypedOption } from "../io.js";
import type { Calls } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { SO_KEEPALIVE, TCP_KEEPIDLE, TCP_NODELAY } from "../options/index.js";
import { PlainSocket } from "../ops/plainSocket.js";

/** The kernel takes no more; MAX_TCP_KEEPIDLE of its tcp.h. */
const MAX_KEEPIDLE = 32_767;

class Borrowed extends PlainSocket {
  readonly #fd: () => number;
  readonly #calls: Calls;

  constructor({ family, type, protocol }: PlainSocket, calls: Calls, fd: () => number) {
    super(family, type, protocol);
    this.#calls = calls;
    this.#fd = fd;
  }

  override fileno(): number {
    return this.#fd();
  }

  /** @internal */
  protected override calls(): Calls {
    return this.#calls;
  }
}

class Settings implements SocketSettings {
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
  readonly #socket: PlainSocket;

  constructor(socket: PlainSocket) {
    this.#socket = socket;
    this.family = socket.family;
    this.type = socket.type;
    this.protocol = socket.protocol;
  }

  getsockname(): Address {
    return this.#socket.getsockname();
  }

  getpeername(): Address {
    return this.#socket.getpeername();
  }

  getsockopt<Get>(option: TypedOption<Get, never>): Get;
  getsockopt(level: number, name: number): number;
  getsockopt(level: number, name: number, size: number): Buffer;
  getsockopt(first: unknown, second?: unknown, third?: unknown): unknown {
    return this.#socket.getsockopt(first as never, second as never, third as never);
  }

  setNoDelay(enable: unknown): void {
    if (this.#isTcp()) this.#set(() => this.#socket.setsockopt(TCP_NODELAY, Boolean(enable)));
  }

  setKeepAlive(enable: unknown, initialDelay: number): void {
    if (!this.#isTcp()) return;
    this.#set(() => this.#socket.setsockopt(SO_KEEPALIVE, Boolean(enable)));
    const seconds = Math.min(Math.trunc(initialDelay / 1000), MAX_KEEPIDLE);
    if (Boolean(enable) && seconds >= 1) this.#set(() => this.#socket.setsockopt(TCP_KEEPIDLE, seconds));
  }

  #isTcp(): boolean {
    return (this.family === AF_INET || this.family === AF_INET6) && this.type === SOCK_STREAM;
  }

  /** A connection that is over takes no options, and has no use for them. */
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
    this.#socket.setsockopt(first as never, second as never, third as never);
  }
}

/** The settings of a socket like `socket` whose descriptor `fd` knows, -1 when it is closed. */
export function settingsAt(socket: PlainSocket, calls: Calls, fd: () => number): SocketSettings {
  return new Settings(new Borrowed(socket, calls, fd));
}
