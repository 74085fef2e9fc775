// Adapts Node's TLS socket to the interfaces `Source` (tlsReader.ts) and `Sink` (tlsWriter.ts).

import type { TLSSocket } from "node:tls";
import type { Source } from "./tlsReader.js";
import type { WriteCallback, Sink } from "./tlsWriter.js";
import type { Transport } from "./transport.js";

export class TlsSocketIo implements Source, Sink {
  /** Whether end() was called and Node has not sent close_notify yet. */
  ending = false;
  readonly #socket: TLSSocket;
  readonly #transport: Transport;
  /** The method `_write` of the TLS socket. Stored, because finding it for each piece is slow. */
  readonly #write: TLSSocket["_write"];
  /**
   * Whether OpenSSL may still be on the stack, in the handshake: code that awaits the handshake runs at the end of
   * Node's callback. Meanwhile OpenSSL refuses to send close_notify (SSL_R_SHUTDOWN_WHILE_IN_INIT), and Node ignores
   * the refusal.
   */
  #inHandshake = true;

  constructor(socket: TLSSocket, transport: Transport) {
    this.#socket = socket;
    this.#transport = transport;
    // oxlint-disable-next-line no-underscore-dangle, unbound-method
    this.#write = socket._write;
    setImmediate(() => (this.#inHandshake = false));
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  resume(): void {
    // oxlint-disable-next-line no-underscore-dangle
    if (!this.#socket.destroyed) this.#socket._read(0);
  }

  setWaiting(waiting: boolean): void {
    if (waiting) this.#transport.ref();
    else this.#transport.unref();
  }

  writePiece(piece: Uint8Array, done: WriteCallback): boolean {
    this.#write.call(this.#socket, piece, "buffer" as BufferEncoding, done);
    return this.#transport.allSent;
  }

  end(done: WriteCallback): void {
    if (this.#inHandshake) {
      setImmediate(() => this.end(done));
      return;
    }
    this.ending = true;
    this.#socket.end((error?: Error | null) => {
      this.ending = false;
      done(error);
    });
  }
}
