// The server after the steps: it reads one message of each client (a visitor), answers, and closes the connection. It
// prints each call.
//
// A client may send nothing, send without an end, be slow, or reset the connection. So a connection has a deadline and
// a limit of bytes, and the number of connections is limited; further connections wait in the accept queue. An error
// ends only its own connection.

import { type Address, type Socket, SocketError } from "berkeley";

import { quoteBytes } from "../frame/escape.js";
import { plural } from "../frame/units.js";
import { type Received, MAX_REQUEST, httpResponse, tooLargeResponse, classify, welcomeText } from "./answer.js";
import { stateOf } from "./kernelView.js";
import type { Narrator } from "./narrator.js";

export interface Limits {
  /** Maximum number of connections at the same time. */
  readonly maxConnections: number;
  /** ms for a whole connection. */
  readonly timeout: number;
}

/** If the request line is incomplete, the next bytes must come within this many ms. */
const REQUEST_LINE_TIMEOUT = 2_000;
/** After the answer, the client has this many ms to read it and to close (RFC 9112, section 9.6). */
const END_TIMEOUT = 2_000;
/** Maximum number of bytes that are read and dropped after the answer. */
const END_MAX_BYTES = 1 << 20;
/** Maximum number of reads for one request. */
const MAX_READS = 64;
/** Maximum number of bytes of a message that are printed. */
const MAX_SHOWN = 24;

/** The meanings of error codes for a visit. */
const MEANINGS: Readonly<Record<string, string>> = {
  ETIMEDOUT: ": the visitor's time is over",
  ECONNRESET: ": the visitor is gone",
};

export class WelcomeServer {
  readonly #server: Socket;
  readonly #narrator: Narrator;
  readonly #limits: Limits;
  readonly #connections = new Map<Socket, Promise<void>>();
  #count = 0;

  constructor(server: Socket, narrator: Narrator, limits: Limits) {
    this.#server = server;
    this.#narrator = narrator;
    this.#limits = limits;
  }

  /**
   * Serves the connections that were accepted already (`early`) and new ones until `stop()`. Resolves when the last
   * connection has ended.
   */
  async serve(early: readonly (readonly [Socket, Address])[]): Promise<void> {
    for (const [conn, address] of early) {
      if (this.#server.closed) conn.close();
      else this.#startServing(conn, address);
    }
    for await (const [conn, address] of this.#server) {
      this.#startServing(conn, address);
      while (this.#connections.size >= this.#limits.maxConnections) await Promise.race(this.#connections.values());
    }
    await Promise.all(this.#connections.values());
  }

  /** Closes the server and all connections. */
  stop(): void {
    this.#server.close();
    for (const conn of this.#connections.keys()) conn.close();
  }

  #startServing(conn: Socket, address: Address): void {
    const name = `visitor ${++this.#count}`;
    const connection = new Connection(name, conn, address, this.#narrator, this.#limits.timeout);
    this.#connections.set(
      conn,
      connection.run().finally(() => this.#connections.delete(conn)),
    );
  }
}

class Connection {
  readonly #name: string;
  readonly #conn: Socket;
  readonly #address: Address;
  readonly #narrator: Narrator;
  /** The time at which the connection must have ended, as of `performance.now()`. */
  readonly #deadline: number;
  /** The source text of the call that runs now. It is printed if the call fails. */
  #code = "";

  constructor(name: string, conn: Socket, address: Address, narrator: Narrator, timeout: number) {
    this.#name = name;
    this.#conn = conn;
    this.#address = address;
    this.#narrator = narrator;
    this.#deadline = performance.now() + timeout;
  }

  /** Serves the connection. Never rejects, because an error ends only its own connection. */
  async run(): Promise<void> {
    try {
      this.#printDone("const [conn, address] = await server.accept()", String(this.#address));
      const message = await this.#receive();
      if (message !== undefined) {
        await this.#answer(...message);
        await this.#end();
      }
    } catch (error) {
      // After stop(), which closes the connection, the error is only a consequence.
      if (!this.#conn.closed) this.#printFailed(error);
    } finally {
      if (!this.#conn.closed) {
        this.#conn.close();
        this.#narrator.call(this.#name, "conn.close()", "nothing");
      }
    }
  }

  #printDone(code: string, returned: string): void {
    this.#narrator.call(this.#name, code, returned, [stateOf(this.#conn)]);
  }

  #printFailed(error: unknown): void {
    const code = error instanceof SocketError ? error.code : String(error);
    this.#narrator.call(this.#name, this.#code, code + (MEANINGS[code] ?? ""), [stateOf(this.#conn)], { failed: true });
  }

  /** Milliseconds until the deadline, at most `limit`. */
  #timeLeft(limit: number = Infinity): number {
    return Math.min(limit, Math.max(0, this.#deadline - performance.now()));
  }

  /**
   * Receives a text, or a request to the end of its headers. Returns the bytes and their classification; undefined if
   * the client finishes without data.
   */
  async #receive(): Promise<[Buffer, Received] | undefined> {
    let bytes = Buffer.alloc(0);
    let received: Received = { kind: "text" };
    for (let reads = 0; reads < MAX_READS && bytes.length < MAX_REQUEST; reads++) {
      let piece: Buffer;
      this.#code = "await conn.recv(1024)";
      const isLineIncomplete = received.kind === "beginning" && !received.hasLine;
      try {
        piece = await this.#conn.recv(1024, {
          timeout: this.#timeLeft(isLineIncomplete ? REQUEST_LINE_TIMEOUT : Infinity),
        });
      } catch (error) {
        // The rest of the request line did not come in time, so the bytes are a text.
        if (isLineIncomplete && error instanceof SocketError && error.code === "ETIMEDOUT")
          return [bytes, { kind: "text" }];
        throw error;
      }
      if (piece.length === 0) {
        this.#printDone(this.#code, "0 bytes: the visitor has finished");
        // The beginning of a request without its end is answered as a text.
        return bytes.length === 0 ? undefined : [bytes, { kind: "text" }];
      }
      this.#printDone(
        this.#code,
        `${quoteBytes(piece, MAX_SHOWN)}${piece.length > MAX_SHOWN ? ` ${plural(piece.length, "byte")}` : ""}`,
      );
      bytes = Buffer.concat([bytes, piece]);
      received = classify(bytes);
      if (received.kind !== "beginning") return [bytes, received];
    }
    // The beginning of a request is too long, or came in too many pieces.
    return [bytes, received];
  }

  async #answer(bytes: Buffer, received: Received): Promise<void> {
    const text = this.#composeAnswer(bytes, received);
    // Of an HTTP response, only the first line is printed.
    const shown = received.kind === "text" ? JSON.stringify(text) : `"${text.slice(0, text.indexOf("\r"))}"...`;
    this.#code = `await conn.sendAll(${shown})`;
    await this.#conn.sendAll(text, { timeout: this.#timeLeft() });
    this.#printDone(this.#code, `nothing: all ${plural(Buffer.byteLength(text), "byte")} taken`);
  }

  #composeAnswer(bytes: Buffer, received: Received): string {
    if (received.kind === "text") return welcomeText(bytes);
    if (received.kind === "beginning") return tooLargeResponse();
    return httpResponse(
      received.method,
      `You came from ${this.#address}. The kernel says of this connection: ${stateOf(this.#conn)}.`,
    );
  }

  /**
   * Half-closes and waits for the client's end. Closing with unread bytes would reset the connection and lose the
   * answer.
   */
  async #end(): Promise<void> {
    this.#code = "await conn.end()";
    const { how, dropped } = await this.#conn.end({ timeout: this.#timeLeft(END_TIMEOUT), maxBytes: END_MAX_BYTES });
    // Nothing is printed if stop() has closed the connection.
    if (how !== "closed") this.#narrator.call(this.#name, this.#code, `${how}, ${plural(dropped, "byte")} dropped`);
  }
}
