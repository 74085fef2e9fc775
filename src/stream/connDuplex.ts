// A Duplex over a Conn with what Node's own sockets have on top: `node:http` and the libraries around it look for timeouts, addresses
// and TLS on what they are given, and leave out in silence what they do not find.
//
// What a Duplex has by itself is Node's. What is here says of the connection what it knows, and does nothing where there is nothing to do,
// as a net.Socket does: no such member may throw only because the connection stands on no TCP socket.

import { LONGEST_TIMER } from "../wait/waitOptions.js";
import type { X509Certificate } from "node:crypto";
import type { CipherNameAndProtocol, PeerCertificate } from "node:tls";
import type { Duplex } from "node:stream";
import type { Address } from "../addr/index.js";
import { stream } from "../builtins.js";
import type { Conn, SecuredConn } from "../io.js";
import { ReadBuffer } from "./buffer.js";
import { checkOptions, kindOf } from "../check/index.js";

/** How the Duplex buffers. */
export interface ToDuplexOptions {
  /** Bytes that are read ahead of the consumer, and most of one read. Default 64 KiB. */
  readonly readableHighWaterMark?: number | undefined;
  /** Bytes after which `write()` returns false. Default 64 KiB. */
  readonly writableHighWaterMark?: number | undefined;
  /**
   * Leaves the writing side open when the peer has finished. With false the Duplex ends it then, and so is closed, as a
   * `net.Socket` does by default: some libraries rely on it. Default true.
   */
  readonly allowHalfOpen?: boolean | undefined;
}

const HIGH_WATER_MARK = 65_536;

/**
 * `Duplex` of node:stream. It takes the place of this class below {@link ConnDuplex} when the first one is made: most programs make
 * none, and need not wait for node:stream.
 */
// oxlint-disable-next-line typescript/no-extraneous-class -- a place to be filled
const LateDuplex: typeof Duplex = class {} as unknown as typeof Duplex;

function insertDuplex(): void {
  const { Duplex } = stream();
  if (Object.getPrototypeOf(ConnDuplex) === Duplex) return;
  // Both chains: super() looks for its constructor each time, and methods are found by the prototype.
  Object.setPrototypeOf(ConnDuplex, Duplex);
  Object.setPrototypeOf(ConnDuplex.prototype, Duplex.prototype);
}

/** Most bytes of a write at a time while a timeout runs, so that a long one shows that it goes on. */
const PIECE = 262_144;

type Done = (error?: Error | null) => void;

/** What Node's sockets give for the address of an end. */
export interface DuplexAddress {
  readonly address?: string;
  readonly family?: string;
  readonly port?: number;
}

/** In `net.Socket`'s words; `{}` for what has no port. */
function addressOf(address: Address | undefined): DuplexAddress {
  if (address === undefined || !("host" in address) || !("port" in address)) return {};
  const { host, port } = address;
  return { address: host, family: host.includes(":") ? "IPv6" : "IPv4", port };
}

/**
 * The `Duplex` that {@link toDuplex} gives. Beside what a `Duplex` has, it has the members of a `net.Socket` that say something of a
 * connection or set something on it, under the same names and with the same meaning. Where TLS is below it is a {@link SecureConnDuplex}.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { connect, listen } from "berkeley";
 *
 * const http = createServer((asked, answer) => answer.end(`hello, ${asked.socket.remoteAddress}`));
 * http.keepAliveTimeout = 5000;
 * await using listener = await listen("tcp://127.0.0.1:8888");
 * await using client = await connect("tcp://127.0.0.1:8888");
 * http.emit("connection", (await listener.accept()).toDuplex());
 * await client.write("GET / HTTP/1.0\r\n\r\n");
 * for await (const line of client.lines()) if (line.startsWith("hello")) console.log(line); // prints: hello, 127.0.0.1
 * ```
 */
export class ConnDuplex extends LateDuplex {
  /** Bytes that have come from the connection. */
  bytesRead = 0;
  /** What a server of Node puts here, to report timeouts there. */
  server: unknown = null;
  /** Milliseconds of `setTimeout()`; undefined where it was not called. */
  timeout: number | undefined = undefined;
  readonly connecting: boolean = false;
  readonly pending: boolean = false;
  /** True over TLS. */
  readonly encrypted: true | undefined = undefined;
  readonly #conn: Conn;
  readonly #buffer: ReadBuffer;
  #reading = false;
  #taken = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @internal Made by {@link toDuplex}. */
  constructor(conn: Conn, opts: ToDuplexOptions) {
    const { readableHighWaterMark = HIGH_WATER_MARK, writableHighWaterMark = HIGH_WATER_MARK } = opts;
    super({ allowHalfOpen: opts.allowHalfOpen ?? true, readableHighWaterMark, writableHighWaterMark });
    this.#conn = conn;
    this.#buffer = new ReadBuffer(Math.max(1, readableHighWaterMark));
    // A pipe to it waits for its source and learns of its end only from here. Weakly: a watch is nobody's use of it. A peer that
    // has closed in order may have left bytes to read, so only a cut ends the whole, and only while there may be more to write.
    const weak = new WeakRef(this);
    const gone = (error: unknown): void => {
      const duplex = weak.deref();
      if (duplex?.writableEnded !== false) return;
      if ((error as NodeJS.ErrnoException | null)?.code !== "EPIPE") duplex.#fail(error);
    };
    conn.whenBroken?.().then(gone, () => undefined);
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#conn.read(this.#buffer.room()).then(
      (count) => {
        this.#reading = false;
        this.#buffer.commit(count);
        this.bytesRead += count;
        this.#timer?.refresh();
        this.push(count === 0 ? null : this.#buffer.take(count));
      },
      (error: unknown) => this.#fail(error),
    );
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.#hand([chunk], chunk.length, done);
  }

  override _writev(chunks: readonly { readonly chunk: Uint8Array }[], done: Done): void {
    const all = chunks.map(({ chunk }) => chunk);
    this.#hand(
      all,
      all.reduce((sum, { length }) => sum + length, 0),
      done,
    );
  }

  #hand(chunks: readonly Uint8Array[], size: number, done: Done): void {
    const timer = this.#timer?.refresh();
    const first = chunks.length === 1 ? (chunks[0] as Uint8Array) : chunks;
    const writing = timer !== undefined && size > PIECE ? this.#writePieces(chunks) : this.#conn.write(first);
    writing.then(() => {
      this.#taken += size;
      this.#timer?.refresh();
      done();
    }, done);
  }

  override _final(done: Done): void {
    this.#conn.closeWrite().then(() => done(), done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#stopTimer();
    // A peer shall not take for complete what an error cut short.
    if (error !== null) this.#conn.abort();
    this.#conn.close().then(() => done(error), done);
  }

  #fail(error: unknown): void {
    // A read that the Duplex itself ended, by closing the connection, tells nothing new.
    if (!this.destroyed) this.destroy(error as Error);
  }

  async #writePieces(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length; at += PIECE) {
        await this.#conn.write(chunk.subarray(at, at + PIECE));
        this.#timer?.refresh();
      }
    }
  }

  get remoteAddress(): string | undefined {
    return addressOf(this.#conn.remoteAddress).address;
  }

  get remotePort(): number | undefined {
    return addressOf(this.#conn.remoteAddress).port;
  }

  /** `"IPv4"` or `"IPv6"`. */
  get remoteFamily(): string | undefined {
    return addressOf(this.#conn.remoteAddress).family;
  }

  get localAddress(): string | undefined {
    return addressOf(this.#conn.localAddress).address;
  }

  get localPort(): number | undefined {
    return addressOf(this.#conn.localAddress).port;
  }

  /** `"IPv4"` or `"IPv6"`. */
  get localFamily(): string | undefined {
    return addressOf(this.#conn.localAddress).family;
  }

  /** This end's address; `{}` where it has no port. */
  address(): DuplexAddress {
    return addressOf(this.#conn.localAddress);
  }

  /** Bytes that were written to it, those included that the connection has not taken yet. */
  get bytesWritten(): number {
    return this.#taken + this.writableLength;
  }

  get readyState(): "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  /**
   * Emits `'timeout'` when no byte has come or gone for `milliseconds`; 0 for never. The connection stays as it is: to end it is the
   * listener's business, as it is with a `net.Socket`. The timer does not keep the process alive.
   *
   * @param listener is added for the next `'timeout'`; with 0 it is removed
   */
  setTimeout(milliseconds: number, listener?: () => void): this {
    if (typeof milliseconds !== "number") {
      throw new TypeError(`Cannot set a timeout: milliseconds is a ${kindOf(milliseconds)}, required a number`);
    }
    if (!(milliseconds >= 0 && milliseconds < Infinity)) {
      throw new RangeError(`Cannot set a timeout: milliseconds is ${milliseconds}, required a number from 0 on`);
    }
    if (listener !== undefined && typeof listener !== "function") {
      throw new TypeError(`Cannot set a timeout: listener is a ${kindOf(listener)}, required a function`);
    }
    if (this.destroyed) return this;
    this.timeout = milliseconds;
    this.#stopTimer();
    if (milliseconds === 0) {
      if (listener !== undefined) this.removeListener("timeout", listener);
      return this;
    }
    this.#timer = setTimeout(() => this.emit("timeout"), Math.min(milliseconds, LONGEST_TIMER)).unref();
    if (listener !== undefined) this.once("timeout", listener);
    return this;
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** TCP_NODELAY of the socket below; nothing where that is none of TCP. */
  setNoDelay(enable: boolean = true): this {
    this.#conn.settings?.()?.setNoDelay(enable);
    return this;
  }

  /**
   * SO_KEEPALIVE of the socket below, and TCP_KEEPIDLE; nothing where that is none of TCP.
   *
   * @param initialDelay milliseconds of silence before the first probe, in whole seconds; 0 leaves the system's
   */
  setKeepAlive(enable: boolean = false, initialDelay: number = 0): this {
    this.#conn.settings?.()?.setKeepAlive(enable, initialDelay);
    return this;
  }

  /** Waiting for bytes keeps the process alive, where the connection can say so. */
  ref(): this {
    (this.#conn as { ref?: () => unknown }).ref?.();
    return this;
  }

  /** Lets the process end while nothing but this waits, where the connection can say so. */
  unref(): this {
    (this.#conn as { unref?: () => unknown }).unref?.();
    return this;
  }

  /** Ends the writing side, and closes when all of it has gone out. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  /** Cuts the connection: on TCP with a reset. */
  resetAndDestroy(): this {
    this.#conn.abort();
    return this.destroy();
  }
}

/** The `Duplex` over a connection with TLS: what it shows of TLS is what a `tls.TLSSocket` shows, under the same names. */
export class SecureConnDuplex extends ConnDuplex {
  override readonly encrypted = true;
  readonly #secured: SecuredConn;

  /** @internal Made by {@link toDuplex}. */
  constructor(conn: Conn, secured: SecuredConn, opts: ToDuplexOptions) {
    super(conn, opts);
    this.#secured = secured;
  }

  /** Whether the peer showed a certificate that verifies. */
  get authorized(): boolean {
    return this.#secured.authorized;
  }

  /** Why not, as a code; null where there is nothing to say. */
  get authorizationError(): string | null {
    return this.#secured.authorizationError ?? null;
  }

  /** The protocol of ALPN; false where none was agreed on. */
  get alpnProtocol(): string | false {
    return this.#secured.alpnProtocol ?? false;
  }

  /** The name that the client asked for; false where it asked for none. */
  get servername(): string | false {
    return this.#secured.servername ?? false;
  }

  getProtocol(): string {
    return this.#secured.protocol;
  }

  getCipher(): CipherNameAndProtocol {
    return this.#secured.cipher;
  }

  isSessionReused(): boolean {
    return this.#secured.sessionReused;
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    return this.#secured.peerCertificate;
  }

  /**
   * The peer's certificate as an object; without members where it showed none.
   *
   * @param detailed with `issuerCertificate`, up to the last one that is known, which names itself
   */
  getPeerCertificate(detailed: boolean = false): PeerCertificate {
    const certificate = this.#secured.peerCertificate;
    if (certificate === undefined) return {} as PeerCertificate;
    const legacy = certificate.toLegacyObject();
    if (!detailed) return legacy;
    let last = legacy as PeerCertificate & { issuerCertificate?: PeerCertificate };
    for (let issuer = certificate.issuerCertificate; issuer !== undefined; issuer = issuer.issuerCertificate) {
      const next = issuer.toLegacyObject();
      if (next.fingerprint256 === last.fingerprint256) break;
      last.issuerCertificate = next;
      last = next;
    }
    last.issuerCertificate = last;
    return legacy;
  }

  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Buffer {
    return this.#secured.exportKeyingMaterial(length, label, context);
  }
}

/**
 * A `Duplex` over a connection, for whatever takes a `node:stream`. It owns the connection from now on: when both sides
 * have ended the connection is closed; `destroy()` closes it, `destroy(error)` aborts it. `end()` ends the writing side
 * only. What the connection rejects with becomes the `'error'` event. See {@link ConnDuplex} for what it has of a `net.Socket`.
 *
 * @example
 * ```ts
 * import { toDuplex } from "berkeley";
 * import { memoryPair } from "berkeley/testing";
 *
 * const [a, b] = memoryPair();
 * toDuplex(a).end("hello");
 * for await (const chunk of toDuplex(b).setEncoding("utf8")) console.log(chunk); // prints: hello
 * ```
 */
export function toDuplex(conn: Conn, opts: ToDuplexOptions = {}): ConnDuplex | SecureConnDuplex {
  checkOptions(opts, "toDuplex");
  const { secured } = conn;
  if (secured === undefined) return plainDuplex(conn, opts);
  insertDuplex();
  return new SecureConnDuplex(conn, secured, opts);
}

/** As {@link toDuplex}, for the layer that puts TLS on it: it shows nothing of TLS. */
export function plainDuplex(conn: Conn, opts: ToDuplexOptions): ConnDuplex {
  insertDuplex();
  return new ConnDuplex(conn, opts);
}
