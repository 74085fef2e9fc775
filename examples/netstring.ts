// An example of a codec: netstrings, "5:hello," (https://cr.yp.to/proto/netstrings.txt).
//
//   node out/examples/netstring.js [port]        then: printf '5:hello,' | nc -N 127.0.0.1 8888
//
// The program is a server that sends each string back.

import { type Codec, type EndpointLike, FrameError, LimitError, listen, type Stream } from "berkeley";
import { Clients } from "./lib/clients.js";
import { isProgram, untilInterrupted } from "./lib/program.js";

const COMMA = 44;

/**
 * Strings of at most `max` bytes. A length that is not a number, or over `max`, is an error before the string arrives.
 */
export function netstring(max: number = 65_536): Codec<Buffer, string | Uint8Array> {
  const digits = String(max).length;
  return {
    max: digits + max + 2,
    decoder: () => (bytes) => {
      // It searches only as many bytes as a length can have, so a peer cannot make it search a long buffer.
      const head = bytes.toString("latin1", 0, digits + 1);
      const [text = "", ...rest] = head.split(":");
      const complete = rest.length > 0;
      if (!(complete ? /^(0|[1-9][0-9]*)$/ : /^(0|[1-9][0-9]*)?$/).test(text) || text.length > digits) {
        throw new FrameError(`a netstring begins with its length and ":", found ${JSON.stringify(head)}`);
      }
      if (!complete) return bytes.length + 1;
      const length = Number(text);
      if (length > max) throw new LimitError("max", max, length);
      const size = text.length + 1 + length + 1;
      if (bytes.length < size) return size;
      if (bytes[size - 1] !== COMMA) throw new FrameError(`a netstring ends with ",", found byte ${bytes[size - 1]}`);
      return { value: bytes.subarray(text.length + 1, size - 1), size };
    },
    encode: (value) => {
      const bytes = typeof value === "string" ? Buffer.from(value) : value;
      if (bytes.length > max) throw new LimitError("max", max, bytes.length);
      return [`${bytes.length}:`, bytes, ","];
    },
  };
}

async function serveClient(stream: Stream): Promise<void> {
  const codec = netstring();
  try {
    for await (const value of stream.frames(codec, { timeout: 60_000 })) {
      await stream.write(codec.encode(value), { timeout: 60_000 });
    }
  } catch (error) {
    if (!(error instanceof FrameError) && !(error instanceof LimitError)) throw error;
    await stream.write(codec.encode(error.message), { timeout: 60_000 });
  }
}

/** Starts the server. `close()` of the result ends it. */
export async function startNetstringServer(endpoint: EndpointLike): Promise<Clients> {
  return new Clients(await listen(endpoint), 1000, serveClient);
}

if (isProgram(import.meta.url)) {
  untilInterrupted(await startNetstringServer(`tcp://127.0.0.1:${process.argv[2] ?? 8888}`));
}
