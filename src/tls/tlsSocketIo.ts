// Node's TLS socket as the reader and the writer of a TlsConn use it: started, paused, written to and ended.

import type { TLSSocket } from "node:tls";
import type { Source } from "./tlsReader.js";
import type { Done, Sink } from "./tlsWriter.js";
import type { Transport } from "./transport.js";

/** The TLS socket of Node as `Source` and `Sink`. */
export class TlsSocketIo implements Source, Sink {
  /** Whether Node has the end of writing and has not sent it yet. */
  ending = false;
  readonly #socket: TLSSocket;
  readonly #transport: Transport;
  /** The `_write` of the TLS socket. Stored, because the lookup for each piece is slow. */
  readonly #write: TLSSocket["_write"];

  constructor(socket: TLSSocket, transport: Transport) {
    this.#socket = socket;
    this.#transport = transport;
    // oxlint-disable-next-line no-underscore-dangle, unbound-method
    this.#write = socket._write;
  }

  get broken(): boolean {
    return this.#socket.destroyed;
  }

  resume(): void {
    // oxlint-disable-next-line no-underscore-dangle
    if (!this.#socket.destroyed) this.#socket._read(0);
  }

  waiting(yes: boolean): void {
    if (yes) this.#transport.ref();
    else this.#transport.unref();
  }

  put(bytes: Uint8Array, done: Done): boolean {
    this.#write.call(this.#socket, bytes, "buffer" as BufferEncoding, done);
    return this.#transport.allSent;
  }

  end(done: Done): void {
    this.ending = true;
    this.#socket.end((error?: Error | null) => {
      this.ending = false;
      done(error);
    });
  }
}
