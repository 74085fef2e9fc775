// A protocol of lines, like SMTP and FTP: a request is a line, and the reply is a line that begins with a number.
//
//   node out/examples/lineServer.js [port]        then: nc 127.0.0.1 8888
//
//   SET <name> <value>   200     GET <name>   200 <value> or 404     DEL <name>   200 or 404
//   COUNT                200 <number>                                QUIT         221, and the connection ends
//
// A line that is too long cannot be skipped, because its end is unknown: the server replies 500 and closes the
// connection.

import { connect, type EndpointLike, LimitError, listen, type Stream } from "berkeley";
import { Clients } from "./lib/clients.js";
import { isProgram, untilInterrupted } from "./lib/program.js";

/** The limits of the server. */
export interface LineServerOptions {
  /** Maximum length of a line in bytes. Default 1024. */
  readonly maxLine?: number;
  /** Maximum number of names. Default 10,000. */
  readonly maxNames?: number;
  /** Milliseconds without a request of a client. Default 60,000. */
  readonly idleTimeout?: number;
  /** Maximum number of clients. Default 1000. */
  readonly maxClients?: number;
}

/** The reply to one request, or null after the last one. */
function answer(line: string, values: Map<string, string>, maxNames: number): string | null {
  const [command = "", name, ...rest] = line.split(" ");
  const value = rest.join(" ");
  switch (command.toUpperCase()) {
    case "SET":
      if (name === undefined || name === "" || value === "") return "400 SET takes a name and a value";
      if (!values.has(name) && values.size >= maxNames) return "507 there is no room for more names";
      values.set(name, value);
      return "200";
    case "GET": {
      const found = values.get(name ?? "");
      return found === undefined ? "404" : `200 ${found}`;
    }
    case "DEL":
      return values.delete(name ?? "") ? "200" : "404";
    case "COUNT":
      return `200 ${values.size}`;
    case "QUIT":
      return null;
    default:
      return "400 there are SET, GET, DEL, COUNT and QUIT";
  }
}

async function serveClient(stream: Stream, values: Map<string, string>, opts: LineServerOptions): Promise<void> {
  const { idleTimeout: timeout = 60_000, maxLine: max = 1024, maxNames = 10_000 } = opts;
  try {
    for await (const line of stream.lines({ max, timeout })) {
      const reply = answer(line, values, maxNames);
      await stream.write(`${reply ?? "221"}\n`, { timeout });
      if (reply === null) return;
    }
  } catch (error) {
    if (!(error instanceof LimitError)) throw error;
    await stream.write("500 the line is too long\n", { timeout });
  }
}

/** Starts the server. `close()` of the result ends it. */
export async function startLineServer(endpoint: EndpointLike, opts: LineServerOptions = {}): Promise<Clients> {
  const values = new Map<string, string>();
  return new Clients(await listen(endpoint), opts.maxClients ?? 1000, (stream) => serveClient(stream, values, opts));
}

/** A client of the server. It may send requests without waiting, because the replies come in order. */
export class LineClient implements AsyncDisposable {
  readonly #stream: Stream;
  /** The promise of the previous reply. The next reply is read after it. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(stream: Stream) {
    this.#stream = stream;
  }

  static async connect(endpoint: EndpointLike): Promise<LineClient> {
    return new LineClient(await connect(endpoint));
  }

  /** Sends a request and returns the reply. */
  ask(line: string): Promise<string> {
    if (/[\r\n]/.test(line)) return Promise.reject(new TypeError("a request must be one line"));
    const written = this.#stream.write(`${line}\n`);
    const reply = Promise.all([this.#last.catch(() => undefined), written]).then(async () => {
      const found = await this.#stream.readLine({ max: 65_536 });
      if (found === null) throw new Error("the server has ended the connection");
      return found;
    });
    this.#last = reply;
    return reply;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stream.close();
  }
}

if (isProgram(import.meta.url)) {
  untilInterrupted(await startLineServer(`tcp://127.0.0.1:${process.argv[2] ?? 8888}`));
}
