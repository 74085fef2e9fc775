// The connection that a handshake leaves behind: a Conn over Node's TLS socket.
//
// The machinery of node:stream, in which a chunk passes a queue, an event and a copy of both for writing, is left out: what
// was decrypted is taken where Node hands it over (in the slab of slab.ts, or by `push`), and what is to be encrypted is given
// where Node takes it (`_write`). `push` and `_write` are the methods that an implementation of a stream has; here they are
// used of one that nobody else can see. What is saved pays for the promises, and a bit more.

import type { X509Certificate } from "node:crypto";
import type { CipherNameAndProtocol, TLSSocket } from "node:tls";
import { types } from "node:util";
import { type Address } from "../addr/index.js";
import { integer, quote } from "../check/index.js";
import { type SocketError, TlsError } from "../errors/index.js";
import type { Conn, Data, IoOptions, SecuredConn, SocketSettings } from "../io.js";
import { Broken } from "../stream/broken.js";
import { TimerRefs } from "../wait/timerRefs.js";
import { refusal, Wait } from "../wait/pendingCall.js";
import { localError, timeoutError } from "../wait/localError.js";
import type { Transport } from "./transport.js";
import { describeNodeError } from "./credentials.js";
import { fromNodeError, truncationError } from "./nodeError.js";
import { TlsReader } from "./tlsReader.js";
import { codeOf, TlsWriter } from "./tlsWriter.js";
import { packSession } from "./session.js";
import { useRecordBuffer } from "./recordBuffer.js";
import { TlsSocketIo } from "./tlsSocketIo.js";

/** What a handshake ends with. */
export interface Established {
  readonly socket: TLSSocket;
  readonly transport: Transport;
  readonly conn: Conn;
  readonly isServer: boolean;
  readonly servername: string | undefined;
  /** The peer's, where Node does not give it any more: it was asked for already, or is that of a session. */
  readonly certificate: X509Certificate | undefined;
  /** Milliseconds; null for no limit. */
  readonly closeTimeout: number | null;
  readonly allowTruncation: boolean;
}

class SessionWait extends Wait<Buffer> {
  readonly #drop: (wait: SessionWait) => void;

  constructor(opts: IoOptions | undefined, refs: TimerRefs, drop: (wait: SessionWait) => void) {
    super(opts, undefined, refs);
    this.#drop = drop;
  }

  protected override cut(): SocketError {
    this.#drop(this);
    return timeoutError("nextSession");
  }
}

/**
 * A connection with TLS on it, made by {@link wrapTls}: a {@link Conn} whose bytes are encrypted on the connection below.
 *
 * `closeWrite()` sends close_notify and ends the connection below for writing; reading goes on. An end below without
 * close_notify rejects reads with a `TlsError` of code `ERR_TLS_TRUNCATED` (see `allowTruncation`). With TLS 1.3 a server
 * refuses a client's certificate after the client's handshake is over: then the first `read` rejects with the server's
 * alert, as `ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED`.
 *
 * @see RFC 8446, RFC 5246
 */
export class TlsConn implements Conn, SecuredConn {
  readonly localAddress: Address | undefined;
  readonly remoteAddress: Address | undefined;
  /** The connection below. It belongs to this one. */
  readonly conn: Conn;
  /** Whether this is the server's end. */
  readonly isServer: boolean;
  /** `"TLSv1.3"` or `"TLSv1.2"`. */
  readonly protocol: string;
  /** The cipher suite, by OpenSSL's name and by its IANA name (`standardName`). */
  readonly cipher: CipherNameAndProtocol;
  /** The protocol that both sides agreed on by ALPN. */
  readonly alpnProtocol: string | undefined;
  /** The name that was verified, or that the client asked for; `undefined` where it asked for none. */
  readonly servername: string | undefined;
  /** Whether the peer showed a certificate that verifies, and has the name that was asked for. */
  readonly authorized: boolean;
  /** Why not, as a code, where `rejectUnauthorized` is false. */
  readonly authorizationError: string | undefined;
  /** Whether an earlier session was resumed. */
  readonly sessionReused: boolean;

  readonly #socket: TLSSocket;
  readonly #transport: Transport;
  readonly #io: TlsSocketIo;
  readonly #reader: TlsReader;
  readonly #writer: TlsWriter;
  readonly #closeTimeout: number | null;
  readonly #allowTruncation: boolean;
  readonly #refs = new TimerRefs();
  readonly #broken = new Broken();
  #certificate: X509Certificate | undefined;
  #settings: SocketSettings | undefined;
  #session: Buffer | undefined;
  #sessionWaits: SessionWait[] = [];
  #closed = false;
  /** abort() was called. */
  #cut = false;
  #closing: Promise<void> | undefined;

  /** @internal Made by {@link wrapTls}, while the TLS socket reports that the handshake is over. */
  constructor(established: Established) {
    const { socket, transport, conn } = established;
    this.conn = conn;
    this.localAddress = conn.localAddress;
    this.remoteAddress = conn.remoteAddress;
    this.isServer = established.isServer;
    this.protocol = socket.getProtocol() ?? "";
    this.cipher = socket.getCipher();
    this.alpnProtocol = typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : undefined;
    this.servername = established.servername;
    this.authorized = socket.authorized;
    // Its type says Error, but it is the code.
    this.authorizationError = (socket.authorizationError as unknown as string | null) ?? undefined;
    this.sessionReused = socket.isSessionReused();
    this.#socket = socket;
    this.#transport = transport;
    this.#certificate = established.certificate;
    this.#closeTimeout = established.closeTimeout;
    this.#allowTruncation = established.allowTruncation;
    const io = new TlsSocketIo(socket, transport);
    this.#io = io;
    const reader = new TlsReader(io, this.#refs);
    this.#reader = reader;
    this.#writer = new TlsWriter(io, this.#refs);
    socket.push = (chunk: Buffer | null): boolean => (chunk === null ? this.#ended() : reader.push(chunk));
    useRecordBuffer(socket, (bytes) => reader.copy(bytes));
    socket.on("error", (error) => this.#failed(error));
    socket.on("close", () => this.#gone());
    transport.unref();
  }

  /** See {@link Conn.secured}. */
  get secured(): this {
    return this;
  }

  /** Whether a read is pending. */
  get reading(): boolean {
    return this.#reader.waiting;
  }

  /**
   * The socket of the kernel below, for its options and addresses: `TCP_INFO`, `TCP_NODELAY`, `SO_RCVBUF` … It can't be read from,
   * written to or closed by this. `undefined` where TLS stands on no socket. Every member throws `EBADF` once it is closed.
   *
   * @example
   * ```ts no-run
   * import { connect, TCP_INFO } from "berkeley";
   *
   * await using stream = await connect("tls://example.com:443");
   * console.log(stream.conn.socket?.getsockopt(TCP_INFO).tcpi_rtt);
   * ```
   */
  get socket(): SocketSettings | undefined {
    return (this.#settings ??= this.settings());
  }

  /** See {@link Conn.settings}. */
  settings(): SocketSettings | undefined {
    return this.conn.settings?.(this.#transport.fd);
  }

  /** The peer's certificate; `undefined` where it showed none. Ask while the connection is open: then it stays known. */
  get peerCertificate(): X509Certificate | undefined {
    return (this.#certificate ??= this.#socket.getPeerX509Certificate());
  }

  /** Client: the latest session that the server offered for resumption, for the `session` option. */
  get session(): Buffer | undefined {
    return this.#session;
  }

  /**
   * Client: a session for the `session` option of a later connection; waits for the server to offer one. With TLS 1.3 that
   * is after the handshake, and a server may offer several: `session` is the latest. It holds the server's certificate too,
   * and is offered only where that has the name which is wanted and has not expired. Keep it as secret as a key.
   *
   * @throws SocketError `ETIMEDOUT`, `ECONNRESET` when the connection ended before, `ECANCELED`, `EBADF`
   */
  nextSession(opts?: IoOptions): Promise<Buffer> {
    if (this.isServer) {
      return Promise.reject(
        new TypeError("Cannot wait for a session: this is a server's connection, required a client's"),
      );
    }
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#session !== undefined) return Promise.resolve(this.#session);
    if (this.#closed) return Promise.reject(localError("EBADF", "nextSession"));
    if (this.#reader.over) return Promise.reject(localError("ECONNRESET", "nextSession"));
    const wait = new SessionWait(opts, this.#refs, (cut) => {
      this.#sessionWaits = this.#sessionWaits.filter((other) => other !== cut);
      if (this.#sessionWaits.length === 0 && !this.#reader.waiting) this.#transport.unref();
    });
    this.#sessionWaits.push(wait);
    this.#transport.ref();
    return wait.promise;
  }

  /** @internal The server offers a new session. */
  offer(ticket: Buffer): void {
    const certificate = this.peerCertificate;
    if (certificate === undefined) return;
    const session = packSession(certificate, ticket);
    this.#session = session;
    const waits = this.#sessionWaits.splice(0);
    if (waits.length > 0 && !this.#reader.waiting) this.#transport.unref();
    for (const wait of waits) wait.resolve(session);
  }

  /**
   * Keying material that both ends know and nobody else: RFC 5705, RFC 8446 section 7.5.
   *
   * @param length bytes, from 1 to 65535
   * @throws SocketError `EBADF` after the end of the connection
   * @throws TlsError where OpenSSL refuses it, as a length beyond what the hash of TLS 1.3 gives
   */
  exportKeyingMaterial(length: number, label: string, context: Uint8Array = new Uint8Array(0)): Buffer {
    const action = "export keying material";
    integer(length, action, "length", 1, 65_535);
    if (typeof label !== "string" || label === "") {
      throw new TypeError(`Cannot ${action}: label is ${quote(label)}, required a string that is not empty`);
    }
    if (!types.isUint8Array(context)) {
      throw new TypeError(`Cannot ${action}: context is ${quote(context)}, required a Uint8Array`);
    }
    if (this.#socket.destroyed) throw localError("EBADF", "exportKeyingMaterial");
    try {
      return this.#socket.exportKeyingMaterial(length, label, Buffer.from(context));
    } catch (error) {
      const { code, reason } = describeNodeError(error);
      throw new TlsError(code, `Cannot ${action}`, reason, { cause: error });
    }
  }

  read(buffer: Uint8Array, opts?: IoOptions): Promise<number> {
    if (this.#closed) return Promise.reject(localError("EBADF", "read"));
    return this.#reader.read(buffer, opts);
  }

  /**
   * The next bytes as they were decrypted, at most one record of 16 KiB, in a Buffer that is the caller's; null at the end.
   * Otherwise as `read`, which costs less where a buffer can be used again.
   */
  readChunk(opts?: IoOptions): Promise<Buffer | null> {
    if (this.#closed) return Promise.reject(localError("EBADF", "read"));
    return this.#reader.readChunk(opts);
  }

  write(data: Data, opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "write"));
    return this.#writer.write(data, opts);
  }

  /** As {@link Writer.tryWrite}: at most 64 KiB, and nothing before the layer below has all of what was written before. */
  tryWrite(data: Uint8Array): number {
    if (this.#closed) throw localError("EBADF", "write");
    return this.#writer.tryWrite(data);
  }

  closeWrite(opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "closeWrite"));
    return this.#writer.end(opts);
  }

  whenBroken(opts?: IoOptions): Promise<unknown> {
    return this.#broken.wait(opts);
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#settle();
      this.#closing = this.#close();
    }
    return this.#closing.then();
  }

  /**
   * Lets the process end while calls wait here, those that wait already included. A write that Node has and the kernel does not take
   * still keeps it alive, as one of `node:tls` does.
   */
  unref(): this {
    this.#refs.held = false;
    this.#transport.keepAlive(false);
    return this;
  }

  /** Undoes `unref()`. */
  ref(): this {
    this.#refs.held = true;
    this.#transport.keepAlive(true);
    return this;
  }

  abort(): void {
    if (this.#cut || this.#socket.destroyed) return;
    this.#cut = true;
    this.#settle();
    // The TLS socket goes with it, but later. To destroy it now, when what is below it is gone, would free what OpenSSL works
    // with, and OpenSSL may be below us on the stack: code that awaits a handshake or a read runs when Node's callback ends.
    this.#transport.abort(this.#io.ending);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #settle(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.cancel();
    this.#writer.cancel();
    this.#refuseSessions("ECANCELED");
    this.#broken.close();
  }

  #refuseSessions(code: string): void {
    for (const wait of this.#sessionWaits.splice(0)) wait.reject(localError(code, "nextSession"));
  }

  async #close(): Promise<void> {
    const socket = this.#socket;
    if (!this.#cut && !socket.destroyed) {
      this.#transport.ref();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        if (this.#closeTimeout !== null) timer = setTimeout(resolve, this.#closeTimeout);
        if (timer !== undefined) this.#refs.add(timer);
      });
      await Promise.race([late, this.#finish()]);
      clearTimeout(timer);
      this.#refs.delete(timer);
      if (!this.#cut) socket.destroy();
    }
    await this.#transport.closed();
  }

  /** What is under way, then close_notify. */
  async #finish(): Promise<void> {
    const socket = this.#socket;
    await this.#writer.idle();
    if (this.#writer.finished || this.#writer.broken || socket.destroyed) return;
    await new Promise<void>((resolve) => {
      socket.once("close", () => resolve());
      this.#io.end(() => resolve());
    });
  }

  /** Node reports an end. */
  #ended(): boolean {
    let ending = this.#transport.ending(this.#reader.paused);
    // After both directions have ended the kernel knows no peer, which is no reset.
    if (ending === "reset" && this.#writer.finished) ending = "end";
    if (ending === "close_notify" || (ending === "end" && this.#allowTruncation)) this.#reader.end();
    else this.#reader.fail(ending === "end" ? truncationError() : localError("ECONNRESET", "read"));
    if (ending === "reset") this.#broken.tell(localError("ECONNRESET", "write"));
    this.#refuseSessions("ECONNRESET");
    return false;
  }

  #failed(error: unknown): void {
    this.#reader.fail(fromNodeError(error, "read"));
    this.#writer.fail(codeOf(error), error);
    this.#broken.tell(fromNodeError(error, "write"));
    this.#refuseSessions("ECONNRESET");
  }

  #gone(): void {
    this.#failed(localError("ECONNRESET", "read"));
  }
}
