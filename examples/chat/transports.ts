// The transports of clients: over a stream, where a command is a line, and over WebSocket, where a command is a
// message.

import { isUtf8 } from "node:buffer";
import { createServer, type Server as HttpServer } from "node:http";
import type { Duplex } from "node:stream";
import { delimited, LimitError, OutboxFullError, type Stream } from "berkeley";
import type { ConnectionContext } from "berkeley/server";
import { WebSocket, WebSocketServer } from "ws";
import { MAX_LINE, Refusal } from "./protocol.js";
import type { Transport } from "./session.js";

/** Maximum number of commands of a WebSocket that wait for the session. */
const MAX_WAITING_COMMANDS = 16;
/** One byte more than MAX_LINE, because a CR may be before the LF of a command. */
const LINES = delimited("\n", { max: MAX_LINE + 1 });
const CR = 13;
const LF = 10;

const tooLong = (): Refusal => new Refusal("too-long", `a line has at most ${MAX_LINE} bytes`);

export class LineTransport implements Transport {
  readonly #stream: Stream;
  readonly #onSlow: () => void;

  constructor(stream: Stream, onSlow: () => void) {
    this.#stream = stream;
    this.#onSlow = onSlow;
  }

  async *commands(signal: AbortSignal): AsyncGenerator<Buffer> {
    try {
      for await (const line of this.#stream.frames(LINES, { signal })) {
        yield line.at(-1) === CR ? line.subarray(0, -1) : line;
      }
    } catch (error) {
      throw error instanceof LimitError ? tooLong() : error;
    }
  }

  post(line: Uint8Array): void {
    this.#stream.write(line).catch((error: unknown) => this.#failed(error));
  }

  async send(line: Uint8Array): Promise<void> {
    try {
      await this.#stream.write(line);
    } catch (error) {
      this.#failed(error);
      throw error;
    }
  }

  /** Disconnects the client if its outbox is full, because it does not read. */
  #failed(error: unknown): void {
    if (!(error instanceof OutboxFullError)) return;
    this.#stream.abort();
    this.#onSlow();
  }
}

class WebSocketTransport implements Transport {
  readonly #client: WebSocket;
  readonly #maxOutbox: number;
  readonly #onSlow: () => void;
  readonly #commands: Buffer[] = [];
  #wake: (() => void) | undefined;

  constructor(client: WebSocket, maxOutbox: number, onSlow: () => void) {
    this.#client = client;
    this.#maxOutbox = maxOutbox;
    this.#onSlow = onSlow;
    client.on("message", (data) => {
      // `data` is a Buffer, because `binaryType` has its default.
      this.#commands.push(data as Buffer);
      if (this.#commands.length >= MAX_WAITING_COMMANDS) client.pause();
      this.#wake?.();
    });
    client.on("close", () => this.#wake?.());
  }

  async *commands(signal: AbortSignal): AsyncGenerator<Buffer> {
    const wake = (): void => this.#wake?.();
    signal.addEventListener("abort", wake);
    try {
      for (;;) {
        signal.throwIfAborted();
        const command = this.#commands.shift();
        if (command !== undefined) {
          if (this.#commands.length === 0) this.#client.resume();
          yield command;
        } else if (this.#client.readyState === WebSocket.OPEN) {
          await new Promise<void>((resolve) => (this.#wake = resolve));
        } else return;
      }
    } finally {
      signal.removeEventListener("abort", wake);
    }
  }

  post(line: Uint8Array): void {
    if (this.#client.readyState !== WebSocket.OPEN) return;
    if (this.#client.bufferedAmount > this.#maxOutbox) {
      this.#client.terminate();
      this.#onSlow();
    } else this.#send(line, () => undefined);
  }

  send(line: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#send(line, (error) => (error === undefined || error === null ? resolve() : reject(error)));
    });
  }

  #send(bytes: Uint8Array, done: (error?: Error | null) => void): void {
    for (let at = 0; at < bytes.length;) {
      const end = bytes.indexOf(LF, at);
      const line = bytes.subarray(at, end);
      at = end + 1;
      // A text message that is not UTF-8 would end the connection.
      this.#client.send(line, { binary: !isUtf8(line) }, at === bytes.length ? done : undefined);
    }
  }
}

/** Serves a client of WebSocket. Resolves when the client has left. */
export type ServeTransport = (transport: Transport, context: ConnectionContext) => Promise<void>;

/** Serves HTTP and WebSocket on the streams of a server. */
export class WebSocketSide {
  readonly #http: HttpServer;
  readonly #sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_LINE, perMessageDeflate: false });
  readonly #contexts = new Map<Duplex, ConnectionContext>();

  constructor(maxOutbox: number, onSlow: (context: ConnectionContext) => void, serve: ServeTransport) {
    this.#http = createServer((_, response) => response.writeHead(426).end("WebSocket only\n"));
    // At this event Node.js starts the timers of the headers, which close() ends.
    this.#http.emit("listening");
    this.#http.on("upgrade", (request, duplex: Duplex, head) => {
      const context = this.#contexts.get(duplex)!;
      this.#contexts.delete(duplex);
      this.#sockets.handleUpgrade(request, duplex, head, (client) => {
        client.on("error", () => client.terminate());
        const transport = new WebSocketTransport(client, maxOutbox, () => onSlow(context));
        serve(transport, context).then(
          () => client.close(context.draining.aborted ? 1001 : 1000),
          () => client.close(1011),
        );
      });
    });
  }

  /** Serves a connection until it has ended. */
  async run(stream: Stream, context: ConnectionContext): Promise<void> {
    const duplex = stream.toDuplex();
    this.#contexts.set(duplex, context);
    const closed = new Promise<void>((resolve) => duplex.once("close", resolve));
    duplex.on("error", () => undefined);
    // As long as the context is in the map, the client has not requested WebSocket. A drain does not wait for it.
    const drain = (): void => void (this.#contexts.has(duplex) && duplex.destroy());
    context.draining.addEventListener("abort", drain);
    // The drain may have begun while the server waited for the PROXY header of this connection.
    if (context.draining.aborted) drain();
    else this.#http.emit("connection", duplex);
    await closed;
    context.draining.removeEventListener("abort", drain);
    this.#contexts.delete(duplex);
  }

  close(): void {
    this.#http.close(() => undefined);
  }
}
