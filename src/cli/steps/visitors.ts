// The server after the steps: whoever comes is heard once, answered, and seen off, each call narrated.
//
// A visitor may be silent, endless, slow or gone at any moment. So a visit has a deadline and a number of bytes, there are only
// so many at a time (the others wait in the kernel's queue), and whatever goes wrong ends the visit and nothing else.

import { type Address, type Socket, SocketError } from "berkeley";

import { quoteBytes } from "../frame/escape.js";
import { plural } from "../frame/units.js";
import { type Heard, MAX_REQUEST, response, tooLarge, understand, welcome } from "./answer.js";
import { stateOf } from "./kernelView.js";
import type { Narrator } from "./narrator.js";

export interface Limits {
  /** Visits at the same time. */
  readonly maxVisitors: number;
  /** ms for a whole visit. */
  readonly timeout: number;
}

/** ms in which the rest of what looks like the first line of a request has to come. */
const REQUEST_LINE_PATIENCE = 2_000;
/** ms for a visitor to close after us, so that closing does not cut off what it has not read (RFC 9112, section 9.6). */
const FAREWELL = 2_000;
/** Bytes that are thrown away in that time. */
const MAX_FAREWELL = 1 << 20;
/** Reads for one request at most, however small its pieces are. */
const MAX_READS = 64;
/** Bytes of a message that are shown. */
const SHOWN = 24;

export class Visitors {
  readonly #server: Socket;
  readonly #narrator: Narrator;
  readonly #limits: Limits;
  readonly #present = new Map<Socket, Promise<void>>();
  #count = 0;

  constructor(server: Socket, narrator: Narrator, limits: Limits) {
    this.#server = server;
    this.#narrator = narrator;
    this.#limits = limits;
  }

  /** Serves until `stop()`, and resolves when the last visit has ended. */
  async serve(early: readonly (readonly [Socket, Address])[]): Promise<void> {
    for (const [conn, address] of early) {
      if (this.#server.closed) conn.close();
      else this.#welcome(conn, address);
    }
    for await (const [conn, address] of this.#server) {
      this.#welcome(conn, address);
      while (this.#present.size >= this.#limits.maxVisitors) await Promise.race(this.#present.values());
    }
    await Promise.all(this.#present.values());
  }

  /** Ends the server and every visit. */
  stop(): void {
    this.#server.close();
    for (const conn of this.#present.keys()) conn.close();
  }

  #welcome(conn: Socket, address: Address): void {
    const who = `visitor ${++this.#count}`;
    const visit = new Visit(who, conn, address, this.#narrator, this.#limits.timeout);
    this.#present.set(
      conn,
      visit.run().finally(() => this.#present.delete(conn)),
    );
  }
}

class Visit {
  readonly #who: string;
  readonly #conn: Socket;
  readonly #address: Address;
  readonly #narrator: Narrator;
  readonly #deadline: number;
  /** The call under way, as it is narrated. */
  #code = "";

  constructor(who: string, conn: Socket, address: Address, narrator: Narrator, timeout: number) {
    this.#who = who;
    this.#conn = conn;
    this.#address = address;
    this.#narrator = narrator;
    this.#deadline = performance.now() + timeout;
  }

  /** Never rejects: what goes wrong with a visitor concerns nobody else. */
  async run(): Promise<void> {
    try {
      this.#done("const [conn, address] = await server.accept()", String(this.#address));
      const heard = await this.#hear();
      if (heard !== undefined) {
        await this.#answer(...heard);
        await this.#seeOff();
      }
    } catch (error) {
      // Closed by us when the server was ended: no news.
      if (!this.#conn.closed) this.#failed(error);
    } finally {
      if (!this.#conn.closed) {
        this.#conn.close();
        this.#narrator.call(this.#who, "conn.close()", "nothing");
      }
    }
  }

  #done(code: string, returned: string): void {
    this.#narrator.call(this.#who, code, returned, [stateOf(this.#conn)]);
  }

  #failed(error: unknown): void {
    const code = error instanceof SocketError ? error.code : String(error);
    const meaning =
      code === "ETIMEDOUT" ? ": the visitor's time is over" : code === "ECONNRESET" ? ": the visitor is gone" : "";
    this.#narrator.call(this.#who, this.#code, code + meaning, [stateOf(this.#conn)], true);
  }

  /** Milliseconds that are left, at most `most`. */
  #left(most: number = Infinity): number {
    return Math.min(most, Math.max(0, this.#deadline - performance.now()));
  }

  /** What the visitor says: a text as it comes, a request up to the end of its headers. Undefined if it says nothing. */
  async #hear(): Promise<[Buffer, Heard] | undefined> {
    let bytes = Buffer.alloc(0);
    let heard: Heard = { kind: "text" };
    for (let reads = 0; reads < MAX_READS && bytes.length < MAX_REQUEST; reads++) {
      let piece: Buffer;
      this.#code = "await conn.recv(1024)";
      const doubtful = heard.kind === "beginning" && !heard.requestLine;
      try {
        piece = await this.#conn.recv(1024, { timeout: this.#left(doubtful ? REQUEST_LINE_PATIENCE : Infinity) });
      } catch (error) {
        // It looked like the beginning of a request, and no more came: it is a text.
        if (doubtful && error instanceof SocketError && error.code === "ETIMEDOUT") return [bytes, { kind: "text" }];
        throw error;
      }
      if (piece.length === 0) {
        this.#done(this.#code, "0 bytes: the visitor has finished");
        return bytes.length === 0 ? undefined : [bytes, { kind: "text" }];
      }
      this.#done(
        this.#code,
        `${quoteBytes(piece, SHOWN)}${piece.length > SHOWN ? ` ${plural(piece.length, "byte")}` : ""}`,
      );
      bytes = Buffer.concat([bytes, piece]);
      heard = understand(bytes);
      if (heard.kind !== "beginning") return [bytes, heard];
    }
    return [bytes, heard];
  }

  async #answer(bytes: Buffer, heard: Heard): Promise<void> {
    const text = this.#compose(bytes, heard);
    const shown = heard.kind === "text" ? JSON.stringify(text) : `"${text.slice(0, text.indexOf("\r"))}"...`;
    this.#code = `await conn.sendAll(${shown})`;
    await this.#conn.sendAll(text, { timeout: this.#left() });
    this.#done(this.#code, `nothing: all ${plural(Buffer.byteLength(text), "byte")} taken`);
  }

  #compose(bytes: Buffer, heard: Heard): string {
    if (heard.kind === "text") return welcome(bytes);
    if (heard.kind === "beginning") return tooLarge();
    return response(
      heard.method,
      `You came from ${this.#address}. The kernel says of this connection: ${stateOf(this.#conn)}.`,
    );
  }

  /** Finishes, and lets the visitor finish. To close while bytes lie unread would reset the connection, answer and all. */
  async #seeOff(): Promise<void> {
    this.#code = "await conn.end()";
    const { how, dropped } = await this.#conn.end({ timeout: this.#left(FAREWELL), maxBytes: MAX_FAREWELL });
    // Closed by us when the server was ended: no news.
    if (how !== "closed") this.#narrator.call(this.#who, this.#code, `${how}, ${plural(dropped, "byte")} dropped`);
  }
}
