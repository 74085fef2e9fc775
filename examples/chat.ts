// A chat: a guest sends a name, and from then on gets the lines of the other guests.
//
//   node out/examples/chat.js [port]        then, in several terminals: nc 127.0.0.1 8888
//
//   /nick <name>   another name     /who   who is here     /quit   leave
//
// Lines that a guest has not received wait in the outbox of the guest's stream. If it is full, the guest reads too
// slowly and is disconnected. So a slow guest neither delays the others nor uses more memory.

import { broadcast, type EndpointLike, LimitError, listen, type Stream } from "berkeley";
import { Clients } from "./lib/clients.js";
import { isProgram, untilInterrupted } from "./lib/program.js";

/** The limits of the chat. */
export interface ChatOptions {
  /** Maximum number of guests. Default 100. */
  readonly maxGuests?: number;
  /** Maximum length of a line in bytes. Default 512. */
  readonly maxLine?: number;
  /** Maximum number of bytes that wait for a guest. Default 64 KiB. */
  readonly maxOutbox?: number;
  /** Milliseconds without a line from a guest. Default 600,000. */
  readonly idleTimeout?: number;
}

const NAME = /^[\p{L}\p{N}_-]{1,20}$/u;

/** A guest. */
interface Guest {
  name: string;
  readonly stream: Stream;
}

/** Sends a line to guests. A slow guest is disconnected; that ends its reads, and so its call of `visit()`. */
function tell(guests: readonly Guest[], line: string): void {
  const streams = guests.map(({ stream }) => stream);
  void broadcast(streams, `${line}\n`, { slow: "disconnect" });
}

/** Removes control characters, because the terminal of a guest would interpret them. */
const plain = (text: string): string => text.replace(/\p{Cc}/gu, "");

class Room {
  readonly #guests = new Map<string, Guest>();
  readonly #opts: Required<ChatOptions>;

  constructor(opts: Required<ChatOptions>) {
    this.#opts = opts;
  }

  #tellAll(line: string, except?: Guest): void {
    tell(
      [...this.#guests.values()].filter((guest) => guest !== except),
      line,
    );
  }

  /** Serves one guest until the connection ends. */
  async visit(stream: Stream): Promise<void> {
    const { idleTimeout: timeout, maxLine: max } = this.#opts;
    let guest: Guest | undefined;
    try {
      await stream.write("* who are you?\n", { timeout });
      for await (const line of stream.lines({ max, timeout })) {
        const text = plain(line).trim();
        if (guest === undefined) {
          const refused = this.#refusal(text);
          if (refused === undefined) {
            guest = { name: text, stream };
            this.#enter(guest);
          } else await stream.write(`* ${refused}\n`, { timeout });
        } else if (text === "/quit") return;
        else if (text === "/who") tell([guest], `* here are ${[...this.#guests.keys()].join(", ")}`);
        else if (text.startsWith("/nick ")) this.#rename(guest, text.slice(6).trim());
        else if (text.startsWith("/")) tell([guest], "* there are /nick <name>, /who and /quit");
        else if (text !== "") this.#tellAll(`${guest.name}: ${text}`, guest);
      }
    } catch (error) {
      if (!(error instanceof LimitError)) throw error;
      await stream.write(`* a line has at most ${max} bytes\n`, { timeout });
    } finally {
      if (guest !== undefined && this.#guests.delete(guest.name)) this.#tellAll(`* ${guest.name} has left`);
    }
  }

  #refusal(name: string): string | undefined {
    if (!NAME.test(name)) return "a name has 1 to 20 letters and digits";
    return this.#guests.has(name) ? `${name} is here already` : undefined;
  }

  #enter(guest: Guest): void {
    this.#guests.set(guest.name, guest);
    tell([guest], `* hello, ${guest.name}`);
    this.#tellAll(`* ${guest.name} is here`, guest);
  }

  #rename(guest: Guest, name: string): void {
    const refused = this.#refusal(name);
    if (refused !== undefined) return tell([guest], `* ${refused}`);
    const { name: before } = guest;
    this.#guests.delete(before);
    guest.name = name;
    this.#guests.set(name, guest);
    this.#tellAll(`* ${before} is now ${name}`);
  }
}

/** Starts the chat. `close()` disconnects all guests. */
export async function startChat(endpoint: EndpointLike, opts: ChatOptions = {}): Promise<Clients> {
  const limits = { maxGuests: 100, maxLine: 512, maxOutbox: 65_536, idleTimeout: 600_000, ...opts };
  const room = new Room(limits);
  return new Clients(await listen(endpoint, { maxOutbox: limits.maxOutbox }), limits.maxGuests, (stream) =>
    room.visit(stream),
  );
}

if (isProgram(import.meta.url)) {
  untilInterrupted(await startChat(`tcp://127.0.0.1:${process.argv[2] ?? 8888}`));
}
