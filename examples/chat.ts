// A chat: a guest sends a name, and from then on gets the lines of the other guests.
//
//   node out/examples/chat.js [port]        then, in several terminals: nc 127.0.0.1 8888
//
//   /nick <name>   another name     /who   who is here     /quit   leave
//
// Each guest has a queue of lines. If a queue is full, the guest reads too slowly and is disconnected. So a slow guest
// neither delays the others nor uses more memory.

import { type EndpointLike, LimitError, listen, type Stream } from "berkeley";
import { Clients } from "./lib/clients.js";
import { isProgram, untilInterrupted } from "./lib/program.js";

/** The limits of the chat. */
export interface ChatOptions {
  /** Maximum number of guests. Default 100. */
  readonly maxGuests?: number;
  /** Maximum length of a line in bytes. Default 512. */
  readonly maxLine?: number;
  /** Maximum number of lines in the queue of a guest. Default 256. */
  readonly maxQueue?: number;
  /** Milliseconds without a line from a guest, or for a write to a guest. Default 600,000. */
  readonly idleTimeout?: number;
}

const NAME = /^[\p{L}\p{N}_-]{1,20}$/u;

/** A guest. */
class Guest {
  name: string;
  readonly stream: Stream;
  readonly #queue: string[] = [];
  readonly #max: number;
  readonly #timeout: number;
  #writing = false;

  constructor(name: string, stream: Stream, max: number, timeout: number) {
    this.name = name;
    this.stream = stream;
    this.#max = max;
    this.#timeout = timeout;
  }

  /** Queues a line for this guest. */
  tell(line: string): void {
    if (this.#queue.length >= this.#max) {
      this.stream.abort();
      return;
    }
    this.#queue.push(line);
    if (!this.#writing) void this.#write();
  }

  async #write(): Promise<void> {
    this.#writing = true;
    try {
      while (this.#queue.length > 0) {
        const lines = this.#queue.splice(0).map((line) => `${line}\n`);
        await this.stream.write(lines.join(""), { timeout: this.#timeout });
      }
    } catch {
      // This ends the reads of the guest too, and so `visit`.
      this.stream.abort();
    } finally {
      this.#writing = false;
    }
  }
}

/** Removes control characters, which a terminal would execute. */
const plain = (text: string): string => text.replace(/\p{Cc}/gu, "");

class Room {
  readonly #guests = new Map<string, Guest>();
  readonly #opts: Required<ChatOptions>;

  constructor(opts: Required<ChatOptions>) {
    this.#opts = opts;
  }

  #say(line: string, but?: Guest): void {
    for (const guest of this.#guests.values()) if (guest !== but) guest.tell(line);
  }

  /** Serves one guest until the connection ends. */
  async visit(stream: Stream): Promise<void> {
    const { idleTimeout: timeout, maxLine: max, maxQueue } = this.#opts;
    let guest: Guest | undefined;
    try {
      await stream.write("* who are you?\n", { timeout });
      for await (const line of stream.lines({ max, timeout })) {
        const text = plain(line).trim();
        if (guest === undefined) {
          const refused = this.#refusal(text);
          if (refused === undefined) {
            guest = new Guest(text, stream, maxQueue, timeout);
            this.#enter(guest);
          } else await stream.write(`* ${refused}\n`, { timeout });
        } else if (text === "/quit") return;
        else if (text === "/who") guest.tell(`* here are ${[...this.#guests.keys()].join(", ")}`);
        else if (text.startsWith("/nick ")) this.#rename(guest, text.slice(6).trim());
        else if (text.startsWith("/")) guest.tell("* there are /nick <name>, /who and /quit");
        else if (text !== "") this.#say(`${guest.name}: ${text}`, guest);
      }
    } catch (error) {
      if (!(error instanceof LimitError)) throw error;
      await stream.write(`* a line has at most ${max} bytes\n`, { timeout });
    } finally {
      if (guest !== undefined && this.#guests.delete(guest.name)) this.#say(`* ${guest.name} has left`);
    }
  }

  #refusal(name: string): string | undefined {
    if (!NAME.test(name)) return "a name has 1 to 20 letters and digits";
    return this.#guests.has(name) ? `${name} is here already` : undefined;
  }

  #enter(guest: Guest): void {
    this.#guests.set(guest.name, guest);
    guest.tell(`* hello, ${guest.name}`);
    this.#say(`* ${guest.name} is here`, guest);
  }

  #rename(guest: Guest, name: string): void {
    const refused = this.#refusal(name);
    if (refused !== undefined) return guest.tell(`* ${refused}`);
    const { name: before } = guest;
    this.#guests.delete(before);
    guest.name = name;
    this.#guests.set(name, guest);
    this.#say(`* ${before} is now ${name}`);
  }
}

/** Starts the chat. `close()` disconnects all guests. */
export async function startChat(endpoint: EndpointLike, opts: ChatOptions = {}): Promise<Clients> {
  const room = new Room({ maxGuests: 100, maxLine: 512, maxQueue: 256, idleTimeout: 600_000, ...opts });
  return new Clients(await listen(endpoint), opts.maxGuests ?? 100, (stream) => room.visit(stream));
}

if (isProgram(import.meta.url)) {
  untilInterrupted(await startChat(`tcp://127.0.0.1:${process.argv[2] ?? 8888}`));
}
