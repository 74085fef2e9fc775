// An example of a codec: NDJSON, a JSON value on each line (https://github.com/ndjson/ndjson-spec).
//
//   node out/examples/ndjson.js [port]        then: echo '{"hello": 1}' | nc -N 127.0.0.1 8888
//
// The program is a server that sends each value back with its number.

import { type Codec, type EndpointLike, FrameError, LimitError, listen, type Stream } from "berkeley";
import { Clients } from "./lib/clients.js";
import { isProgram, untilInterrupted } from "./lib/program.js";

/** A JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** A value as the text of one line. It refuses a value that JSON has no text for, because nothing would be sent. */
function lineOf(value: Json): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError(`JSON has no text for a value of type ${typeof value}`);
  return `${text}\n`;
}

/** JSON values, one per line. A line that is not JSON, for example an empty one, is a `FrameError`. */
export const ndjson: Codec<Json> = {
  max: 1_048_576,
  decoder: () => {
    // The position up to which the decoder has searched. The next call has the same bytes and more.
    let searched = 0;
    return (bytes, ended) => {
      const end = bytes.indexOf(10, searched);
      // The last line may lack its LF.
      if (end < 0 && !ended) {
        searched = bytes.length;
        return bytes.length + 1;
      }
      searched = 0;
      const text = bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
      try {
        return { value: JSON.parse(text) as Json, size: end < 0 ? bytes.length : end + 1 };
      } catch (cause) {
        throw new FrameError(`a line of NDJSON is no JSON: ${(cause as Error).message}`, { cause });
      }
    };
  },
  encode: lineOf,
};

async function serveClient(stream: Stream): Promise<void> {
  let number = 0;
  try {
    for await (const value of stream.frames(ndjson, { timeout: 60_000 })) {
      await stream.write(ndjson.encode({ number: ++number, value }), { timeout: 60_000 });
    }
  } catch (error) {
    if (!(error instanceof FrameError) && !(error instanceof LimitError)) throw error;
    await stream.write(ndjson.encode({ error: error.message }), { timeout: 60_000 });
  }
}

/** Starts the server. `close()` of the result ends it. */
export async function startNdjsonServer(endpoint: EndpointLike): Promise<Clients> {
  return new Clients(await listen(endpoint), 1000, serveClient);
}

if (isProgram(import.meta.url)) {
  untilInterrupted(await startNdjsonServer(`tcp://127.0.0.1:${process.argv[2] ?? 8888}`));
}
