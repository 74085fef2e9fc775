// TlsConn: the Conn on Node's TLS socket after a handshake.
//
// TlsConn bypasses the queues and events of node:stream, because they cost more time than the promises of TlsConn.
// Node passes decrypted bytes to a callback (recordBuffer.ts) or to `push`, and takes bytes to encrypt in `_write`.
// `push` and `_write` are meant for subclasses of streams. No other code can reach the TLS socket, so this use is safe.

import type { X509Certificate } from "node:crypto";
import type { CipherNameAndProtocol, TLSSocket } from "node:tls";
import { isUint8Array } from "node:util/types";
import { type Address } from "../addr/index.js";
import { integer, quote } from "../check/index.js";
import { TlsError } from "../errors/index.js";
import type { Conn, Data, IoOptions, SecuredConn, SocketSettings, TransferStats } from "../io.js";
import { EndWaiters } from "../stream/endWaiters.js";
import { TimerRefs } from "../wait/timerRefs.js";
import { optionsError } from "../wait/pendingCall.js";
import { makeDescribable, Inspectable, type ListedCall, registry } from "../registry/index.js";
import { describeTls, listTlsCalls, callListers, type TlsConnDescription } from "./describeTls.js";
import { localError } from "../wait/localError.js";
import { QueuedCall } from "./queuedCall.js";
import type { Transport } from "./transport.js";
import { codeAndReason } from "./credentials.js";
import { fromNodeError, resetError, truncationError } from "./nodeError.js";
import { TlsReader } from "./tlsReader.js";
import { writeErrorCode, TlsWriter } from "./tlsWriter.js";
import { packSession } from "./session.js";
import { useRecordBuffer } from "./recordBuffer.js";
import { TlsSocketIo } from "./tlsSocketIo.js";
import { refuseTransfers } from "./refuseTransfers.js";

/** The result of a handshake. */
export interface HandshakeResult {
  readonly socket: TLSSocket;
  readonly transport: Transport;
  /** The connection below. */
  readonly conn: Conn;
  readonly isServer: boolean;
  readonly servername: string | undefined;
  /** The peer's certificate if Node can't return it: Node has returned it once, or the handshake resumed a session. */
  readonly certificate: X509Certificate | undefined;
  /** Milliseconds for `close()`; null for no limit. */
  readonly closeTimeout: number | null;
  readonly allowTruncation: boolean;
}

/**
 * A TLS connection, made by {@link wrapTls}: a {@link Conn} whose bytes are encrypted on the connection below.
 * `closeWrite()` sends close_notify and ends the connection below for writing. Reading goes on. If the connection below
 * ends without close_notify, reads reject with a `TlsError` of code `ERR_TLS_TRUNCATED` (see `allowTruncation`).
 *
 * With TLS 1.3 a server can refuse the client's certificate after the client has finished its handshake. Then the first
 * `read` rejects with the alert of the server, such as `ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED`.
 *
 * @see RFC 8446, RFC 5246
 */
export class TlsConn extends Inspectable<TlsConnDescription> implements Conn, SecuredConn {
  static {
    makeDescribable<TlsConn, TlsConnDescription>(TlsConn.prototype, "TlsConn", (conn) => {
      const pending: string[] = [];
      conn.#listPending(({ call }) => pending.push(call));
      return describeTls(conn, conn.settings(), conn.#closed, conn.#reader.buffered, pending);
    });
  }

  readonly localAddress: Address | undefined;
  readonly remoteAddress: Address | undefined;
  /** The connection below, which `close()` closes too. */
  readonly conn: Conn;
  /** Whether this is the server's end. */
  readonly isServer: boolean;
  /** `"TLSv1.3"` or `"TLSv1.2"`. */
  readonly protocol: string;
  /** The cipher suite, by OpenSSL's name and by its IANA name (`standardName`). */
  readonly cipher: CipherNameAndProtocol;
  /** The protocol that was negotiated by ALPN. */
  readonly alpnProtocol: string | undefined;
  /** Client: the name to verify. Server: the name that the client sent (SNI), `undefined` if it sent none. */
  readonly servername: string | undefined;
  /** Whether the peer has sent a valid certificate; on a client, one that is valid for `servername`. */
  readonly authorized: boolean;
  /** The code of the verification error, if `authorized` is false. */
  readonly authorizationError: string | undefined;
  /** Whether the handshake resumed an earlier session. */
  readonly sessionReused: boolean;

  readonly #socket: TLSSocket;
  readonly #transport: Transport;
  readonly #io: TlsSocketIo;
  readonly #reader: TlsReader;
  readonly #writer: TlsWriter;
  readonly #closeTimeout: number | null;
  readonly #allowTruncation: boolean;
  readonly #refs = new TimerRefs();
  readonly #brokenWaiters = new EndWaiters();
  #certificate: X509Certificate | undefined;
  #settings: SocketSettings | undefined;
  #session: Buffer | undefined;
  #sessionCalls: QueuedCall<Buffer>[] = [];
  #closed = false;
  #aborted = false;
  #closing: Promise<void> | undefined;

  /** @internal Called while the TLS socket reports the end of the handshake. */
  constructor(result: HandshakeResult) {
    super();
    const { socket, transport, conn } = result;
    this.conn = conn;
    ({ localAddress: this.localAddress, remoteAddress: this.remoteAddress } = conn);
    this.isServer = result.isServer;
    this.protocol = socket.getProtocol() ?? "";
    this.cipher = socket.getCipher();
    this.alpnProtocol = typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : undefined;
    this.servername = result.servername;
    this.authorized = socket.authorized;
    // Node's types declare an Error, but the value is the code of an error.
    this.authorizationError = (socket.authorizationError as unknown as string | null) ?? undefined;
    this.sessionReused = socket.isSessionReused();
    this.#socket = socket;
    this.#transport = transport;
    this.#certificate = result.certificate;
    this.#closeTimeout = result.closeTimeout;
    this.#allowTruncation = result.allowTruncation;
    const io = (this.#io = new TlsSocketIo(socket, transport));
    const reader = (this.#reader = new TlsReader(io, this.#refs));
    this.#writer = new TlsWriter(io, this.#refs);
    socket.push = (chunk: Buffer | null): boolean => (chunk === null ? this.#onEnd() : reader.push(chunk));
    useRecordBuffer(socket, (bytes) => reader.pushCopy(bytes));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#onSocketClosed());
    transport.unref();
    callListers.add(this.#listPending);
    if (registry !== undefined) registry.addObject(this);
  }

  readonly #listPending = (add: (call: ListedCall) => void): void =>
    listTlsCalls(this, this.#reader, this.#writer.pending, this.#sessionCalls, this.#refs.keepsAlive, add);

  /** The counters of the connection, also after `close()`. Bytes are counted before encryption and after decryption. */
  stats(): TransferStats {
    const { bytes: bytesReceived, reads } = this.#reader;
    const { bytes: bytesSent, writes } = this.#writer;
    return { bytesReceived, bytesSent, reads, writes };
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
   * The options and addresses of the socket below, such as `TCP_INFO`. Reads and writes of this socket are refused with
   * `ERR_TLS_SOCKET`. `undefined` if the connection below is no socket. After close() every member throws `EBADF`.
   *
   * @example
   * ```ts no-run
   * import { connect, TCP_INFO } from "berkeley";
   *
   * await using stream = await connect("tls://example.com:443");
   * console.log(stream.socket?.getsockopt(TCP_INFO).tcpi_rtt);
   * ```
   */
  get socket(): SocketSettings | undefined {
    return (this.#settings ??= this.settings());
  }

  /** See {@link Conn.settings}. */
  settings(): SocketSettings | undefined {
    return refuseTransfers(this.conn.settings?.(this.#transport.fd));
  }

  /**
   * The peer's certificate; `undefined` if the peer sent none. If this property is read while the connection is open,
   * the certificate stays available afterwards.
   */
  get peerCertificate(): X509Certificate | undefined {
    return (this.#certificate ??= this.#socket.getPeerX509Certificate());
  }

  /** Client: the latest session that the server offered for resumption, for the `session` option. */
  get session(): Buffer | undefined {
    return this.#session;
  }

  /**
   * Client: waits until the server offers a session, and returns it for the `session` option of a later connection.
   * With TLS 1.3 the server offers sessions after the handshake, perhaps several. The property `session` is the latest.
   * A session contains the server's certificate. A later connection uses the session only if this certificate is valid
   * for the name of that connection. Keep a session as secret as a key.
   *
   * @throws SocketError `ETIMEDOUT`; `ECONNRESET` if the connection ended before; `ECANCELED`, `EBADF`
   */
  nextSession(opts?: IoOptions): Promise<Buffer> {
    if (this.isServer) {
      return Promise.reject(
        new TypeError("Cannot wait for a session: this is a server's connection, required a client's"),
      );
    }
    const refused = optionsError(opts, "wait for a session");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#session !== undefined) return Promise.resolve(this.#session);
    if (this.#closed) return Promise.reject(localError("EBADF", "nextSession"));
    if (this.#reader.endedOrFailed) return Promise.reject(localError("ECONNRESET", "nextSession"));
    const call = new QueuedCall<Buffer>("nextSession", opts, this.#refs, (cancelled) => {
      this.#sessionCalls = this.#sessionCalls.filter((other) => other !== cancelled);
      if (this.#sessionCalls.length === 0 && !this.#reader.waiting) this.#transport.unref();
    });
    this.#sessionCalls.push(call);
    this.#transport.ref();
    return call.promise;
  }

  /** @internal Stores a session that the server has offered, and resolves the waiting calls of `nextSession()`. */
  storeSession(ticket: Buffer): void {
    const certificate = this.peerCertificate;
    if (certificate === undefined) return;
    const session = (this.#session = packSession(certificate, ticket));
    const waiting = this.#sessionCalls.splice(0);
    if (waiting.length > 0 && !this.#reader.waiting) this.#transport.unref();
    for (const call of waiting) call.resolve(session);
  }

  /**
   * Exports keying material, a secret that only the two peers can compute: RFC 5705; RFC 8446, section 7.5.
   *
   * @param length bytes, from 1 to 65535
   * @throws SocketError `EBADF` after the end of the connection
   * @throws TlsError if OpenSSL refuses, for example a length that is too long for the hash of TLS 1.3
   */
  exportKeyingMaterial(length: number, label: string, context: Uint8Array = new Uint8Array(0)): Buffer {
    const action = "export keying material";
    integer(length, action, "length", 1, 65_535);
    if (typeof label !== "string" || label === "") {
      throw new TypeError(`Cannot ${action}: label is ${quote(label)}, required a string that is not empty`);
    }
    if (!isUint8Array(context)) {
      throw new TypeError(`Cannot ${action}: context is ${quote(context)}, required a Uint8Array`);
    }
    if (this.#socket.destroyed) throw localError("EBADF", "exportKeyingMaterial");
    try {
      return this.#socket.exportKeyingMaterial(length, label, Buffer.from(context));
    } catch (error) {
      const { code, reason } = codeAndReason(error);
      throw new TlsError(code, `Cannot ${action}`, reason, { cause: error });
    }
  }

  read(buffer: Uint8Array, opts?: IoOptions): Promise<number> {
    if (this.#closed) return Promise.reject(localError("EBADF", "read"));
    return this.#reader.read(buffer, opts);
  }

  /**
   * Reads the bytes of at most one record of 16 KiB into a new Buffer; null at the end. Rejects as `read` does. `read`
   * into a reused buffer costs less.
   */
  readChunk(opts?: IoOptions): Promise<Buffer | null> {
    if (this.#closed) return Promise.reject(localError("EBADF", "read"));
    return this.#reader.readChunk(opts);
  }

  write(data: Data, opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "write"));
    return this.#writer.write(data, opts);
  }

  /**
   * See {@link Writer.tryWrite}. Takes at most 64 KiB. Returns 0 until the layer below has taken all earlier bytes.
   */
  tryWrite(data: Uint8Array): number {
    if (this.#closed) throw localError("EBADF", "write");
    return this.#writer.tryWrite(data);
  }

  get writeProgress(): number {
    return this.#writer.writeProgress;
  }

  closeWrite(opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "closeWrite"));
    return this.#writer.end(opts);
  }

  whenBroken(opts?: IoOptions): Promise<unknown> {
    return this.#brokenWaiters.wait(opts);
  }

  whenEnded(opts?: IoOptions): Promise<unknown> {
    return this.#reader.whenEnded(opts);
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#markClosed();
      this.#closing = this.#close();
    }
    return this.#closing.then();
  }

  /**
   * Lets the process end although calls wait here, or will wait here later. A write that the kernel has not taken still
   * keeps the process alive, as in `node:tls`.
   */
  unref(): this {
    this.#refs.keepsAlive = false;
    this.#transport.setKeepsAlive(false);
    return this;
  }

  /** Undoes `unref()`. */
  ref(): this {
    this.#refs.keepsAlive = true;
    this.#transport.setKeepsAlive(true);
    return this;
  }

  abort(): void {
    if (this.#aborted || this.#socket.destroyed) return;
    this.#aborted = true;
    this.#markClosed();
    // Code that awaits a handshake or a read runs at the end of Node's callback, when OpenSSL may be on the stack.
    // OpenSSL still uses the memory of the TLS socket, so the transport destroys the TLS socket in a later turn.
    this.#transport.abort(this.#io.ending);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Rejects the waiting calls, and makes later ones reject with `EBADF`. */
  #markClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.cancel();
    this.#writer.cancel();
    this.#rejectSessionCalls("ECANCELED");
    this.#brokenWaiters.close();
  }

  #rejectSessionCalls(code: string): void {
    for (const call of this.#sessionCalls.splice(0)) call.reject(localError(code, "nextSession"));
  }

  async #close(): Promise<void> {
    if (!this.#aborted && !this.#socket.destroyed) {
      // The wait keeps the process alive, unless unref() was called.
      this.#transport.ref();
      let timer: NodeJS.Timeout | undefined;
      const timeoutPassed = new Promise<void>((resolve) => {
        if (this.#closeTimeout !== null) timer = setTimeout(resolve, this.#closeTimeout);
        this.#refs.add(timer);
      });
      await Promise.race([timeoutPassed, this.#sendCloseNotify()]);
      clearTimeout(timer);
      this.#refs.delete(timer);
      if (!this.#aborted) this.#socket.destroy();
    }
    await this.#transport.close();
  }

  /** Sends close_notify after the bytes that Node has got, unless it was sent already or the connection is broken. */
  async #sendCloseNotify(): Promise<void> {
    await this.#writer.whenIdle();
    if (this.#writer.finished || this.#writer.broken || this.#socket.destroyed) return;
    await new Promise<void>((resolve) => {
      this.#socket.once("close", () => resolve());
      this.#io.end(() => resolve());
    });
  }

  /** Called when Node reports an end. Returns false, because `push` of a stream returns false at the end. */
  #onEnd(): boolean {
    let cause = this.#transport.findEndCause(this.#reader.paused);
    // After both directions have ended, getpeername(2) fails as after a reset. So there was perhaps no reset.
    if (cause === "reset" && this.#writer.finished) cause = "end";
    if (cause === "close_notify" || (cause === "end" && this.#allowTruncation)) this.#reader.end();
    else this.#reader.fail(cause === "end" ? truncationError() : resetError(this, "read"));
    if (cause === "reset") this.#brokenWaiters.resolveAll(resetError(this, "write"));
    this.#rejectSessionCalls("ECONNRESET");
    return false;
  }

  /** Fails writing, and fails reading unless the end was reported before. */
  #fail(error: unknown): void {
    this.#reader.fail(fromNodeError(error, "read", this));
    this.#writer.fail(writeErrorCode(error), error);
    this.#brokenWaiters.resolveAll(fromNodeError(error, "write", this));
    this.#rejectSessionCalls("ECONNRESET");
  }

  #onSocketClosed(): void {
    callListers.delete(this.#listPending);
    if (registry !== undefined) registry.removeObject(this);
    this.#fail(resetError(this, "read"));
  }
}
