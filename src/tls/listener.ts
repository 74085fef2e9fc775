// A listener whose connections have done their handshake.
//
// Handshakes run beside each other, so that a client that is slow, or says nothing, holds up nobody. Connections are taken
// from the listener below only while someone waits in accept() and the number of handshakes and of finished connections
// that nobody took is under its limit; the others stay in the kernel's queue.

import { quote } from "../addr/index.js";
import type { Address } from "../addr/index.js";
import type { SocketError } from "../errors.js";
import type { Conn, IoOptions, Listener } from "../io.js";
import { refusal, socketError, Wait } from "../stream/wait.js";
import { checkServes } from "./carrier.js";
import type { TlsConn } from "./conn.js";
import { checkCertificate, TlsContext } from "./context.js";
import { checkFlag, checkNames, checkObject, checkTime, type TlsContextOptions } from "./options.js";
import { wrapTls } from "./wrap.js";

/** How handshakes are run. */
export interface TlsListenerOptions {
  /** The server's keys and certificates, or the context made of them, which can be reloaded. */
  readonly tls: TlsContext | TlsContextOptions;
  /** Milliseconds for each handshake. Default 10000. */
  readonly handshakeTimeout?: number | undefined;
  /** Most connections that are in a handshake, or through it and not accepted yet. Default 256. */
  readonly maxHandshakes?: number | undefined;
  /** See {@link TlsConnectionOptions.closeTimeout}. */
  readonly closeTimeout?: number | undefined;
  /** See {@link TlsConnectionOptions.allowTruncation}. */
  readonly allowTruncation?: boolean | undefined;
  /** Hears of handshakes that failed, which nobody else does: strangers' mistakes are no error of `accept()`. */
  readonly onHandshakeError?: ((error: unknown, remoteAddress: Address | undefined) => void) | undefined;
}

/** `TlsListenerOptions` that were checked. */
interface CheckedListener extends TlsListenerOptions {
  readonly tls: TlsContext;
  readonly maxHandshakes: number;
}

const OPTIONS = [
  "tls",
  "handshakeTimeout",
  "maxHandshakes",
  "closeTimeout",
  "allowTruncation",
  "onHandshakeError",
] as const;

/** The names of the options that say how handshakes are run. */
export const HANDSHAKE_OPTIONS: readonly string[] = OPTIONS.slice(1);

/** All that can be wrong before there is a listener. */
export function checkListener(opts: unknown, action: string): CheckedListener {
  checkServes(action);
  checkObject(opts, action);
  checkNames(opts, OPTIONS, action);
  const { tls, maxHandshakes = 256, onHandshakeError } = opts;
  if (!Number.isInteger(maxHandshakes) || (maxHandshakes as number) < 1) {
    throw new RangeError(`Cannot ${action}: maxHandshakes is ${quote(maxHandshakes)}, required 1 or more`);
  }
  checkTime(opts["handshakeTimeout"], 0, action, "handshakeTimeout");
  checkTime(opts["closeTimeout"], 0, action, "closeTimeout");
  checkFlag(opts["allowTruncation"], action, "allowTruncation");
  if (onHandshakeError !== undefined && typeof onHandshakeError !== "function") {
    throw new TypeError(`Cannot ${action}: onHandshakeError is ${quote(onHandshakeError)}, required a function`);
  }
  const context = tls instanceof TlsContext ? tls : new TlsContext(tls as TlsContextOptions);
  checkCertificate(context, action);
  return { ...(opts as Omit<TlsListenerOptions, "tls">), tls: context, maxHandshakes: maxHandshakes as number };
}

class Accepting extends Wait<TlsConn> {
  readonly #drop: (call: Accepting) => void;

  constructor(opts: IoOptions | undefined, drop: (call: Accepting) => void) {
    super(opts);
    this.#drop = drop;
  }

  protected override cut(): SocketError {
    this.#drop(this);
    return socketError("ETIMEDOUT", "accept");
  }
}

/**
 * TLS on the connections of any {@link Listener}, as the server.
 *
 * @example
 * ```ts no-run
 * import { readFileSync } from "node:fs";
 * import { listen, TlsContext, TlsListener } from "berkeley";
 *
 * const tls = new TlsContext({ cert: readFileSync("server.pem"), key: readFileSync("server.key") });
 * await using listener = new TlsListener(await listen("tcp://[::]:4433"), { tls });
 * for await (const conn of listener) await conn.close();
 * ```
 */
export class TlsListener implements Listener<TlsConn> {
  /** To be reloaded with a new certificate. */
  readonly context: TlsContext;
  readonly #below: Listener;
  readonly #opts: TlsListenerOptions;
  readonly #maxHandshakes: number;
  /** Aborted by close(). */
  readonly #closing = new AbortController();
  #accepting: Accepting[] = [];
  readonly #ready: TlsConn[] = [];
  readonly #shaking = new Set<Promise<void>>();
  /** Ends the wait for the next connection below. */
  #fetching: AbortController | undefined;
  #closed: Promise<void> | undefined;

  /**
   * @throws TypeError or RangeError for an option that is wrong, or where there is no certificate
   * @throws TlsError for a key or certificate that can't be used
   */
  constructor(listener: Listener, opts: TlsListenerOptions) {
    const { tls, maxHandshakes } = (this.#opts = checkListener(opts, "make a TlsListener"));
    this.context = tls;
    this.#below = listener;
    this.#maxHandshakes = maxHandshakes;
  }

  get address(): Address | undefined {
    return this.#below.address;
  }

  /** Connections in a handshake, and those that nobody has accepted yet. */
  get pending(): { readonly handshakes: number; readonly ready: number } {
    return { handshakes: this.#shaking.size, ready: this.#ready.length };
  }

  /** Waits for the next connection whose handshake has succeeded. See {@link Listener.accept}. */
  accept(opts?: IoOptions): Promise<TlsConn> {
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closed !== undefined) return Promise.reject(socketError("EBADF", "accept"));
    const ready = this.#ready.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    const call = new Accepting(opts, (cut) => {
      this.#accepting = this.#accepting.filter((other) => other !== cut);
      // Nobody waits any more: nor shall the process.
      if (this.#accepting.length === 0) this.#fetching?.abort();
    });
    this.#accepting.push(call);
    this.#fetch();
    return call.promise;
  }

  /** Closes the listener below and gives up what was not accepted. See {@link Listener.close}. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    for (const call of this.#accepting.splice(0)) call.reject(socketError("ECANCELED", "accept"));
    this.#closing.abort();
    for (const conn of this.#ready.splice(0)) conn.abort();
    await Promise.all([this.#below.close(), ...this.#shaking]);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TlsConn, undefined> {
    while (this.#closed === undefined) {
      let conn;
      try {
        conn = await this.accept();
      } catch (error) {
        if (this.#closed !== undefined) return undefined;
        throw error;
      }
      yield conn;
    }
    return undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Waits for a connection below, unless that is done already or there is no need. */
  #fetch(): void {
    if (this.#fetching !== undefined || this.#closed !== undefined || this.#accepting.length === 0) return;
    if (this.#shaking.size + this.#ready.length >= this.#maxHandshakes) return;
    const fetching = new AbortController();
    this.#fetching = fetching;
    this.#below.accept({ signal: fetching.signal }).then(
      (conn) => {
        this.#fetching = undefined;
        this.#begin(conn);
        this.#fetch();
      },
      (error: unknown) => {
        this.#fetching = undefined;
        if (!fetching.signal.aborted) this.#accepting.shift()?.reject(error);
        this.#fetch();
      },
    );
  }

  #begin(conn: Conn): void {
    if (this.#closed !== undefined) return conn.abort();
    const { remoteAddress } = conn;
    const { handshakeTimeout, closeTimeout, allowTruncation, onHandshakeError } = this.#opts;
    const { context } = this;
    const { signal } = this.#closing;
    const shaking = wrapTls(conn, {
      isServer: true,
      context,
      handshakeTimeout,
      closeTimeout,
      allowTruncation,
      signal,
    }).then(
      (wrapped) => {
        this.#shaking.delete(shaking);
        const call = this.#accepting.shift();
        if (call !== undefined) call.resolve(wrapped);
        else if (this.#closed === undefined) this.#ready.push(wrapped);
        else wrapped.abort();
        this.#fetch();
      },
      (error: unknown) => {
        this.#shaking.delete(shaking);
        this.#fetch();
        if (!signal.aborted) onHandshakeError?.(error, remoteAddress);
      },
    );
    this.#shaking.add(shaking);
  }
}
