// Many connections of one listener, with --keep-open: standard input goes to all that are there, what they send to standard
// output. As with ncat, input waits for the first of them.

import type { Output } from "../frame/output.js";
import type { Acceptor } from "./accept.js";
import type { Channel } from "./channel.js";
import { converse } from "./converse.js";
import type { StandardInput } from "./input.js";
import type { TalkValues } from "./options.js";

/** Input that several conversations share: each has the pieces from its beginning on. */
class SharedInput {
  readonly #input: StandardInput;
  readonly #taps = new Set<Tap>();
  #running = false;
  #ended = false;
  #failure: Error | undefined;

  constructor(input: StandardInput) {
    this.#input = input;
  }

  /** Input for one more conversation. */
  tap(): Tap {
    const tap = new Tap(() => this.#taps.delete(tap), this.#input.isTerminal);
    if (this.#ended) tap.end();
    else this.#taps.add(tap);
    if (!this.#running) {
      this.#running = true;
      void this.#run();
    }
    return tap;
  }

  async #run(): Promise<void> {
    try {
      for (let chunk = await this.#input.read(); chunk !== null; chunk = await this.#input.read()) {
        const copy = Buffer.from(chunk);
        // The slowest sets the pace, so that nothing has to be kept.
        await Promise.all([...this.#taps].map((tap) => tap.give(copy)));
      }
    } catch (error) {
      this.#failure = error as Error;
    }
    this.#ended = true;
    for (const tap of this.#taps) tap.end(this.#failure);
  }
}

/** One conversation's part of the input, in the shape of {@link StandardInput}. */
class Tap {
  readonly isTerminal: boolean;
  readonly isFile = false;
  readonly size = undefined;
  readonly position = 0;
  readonly #onStop: () => void;
  #piece: Buffer | undefined;
  #ended = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  #taken: (() => void) | undefined;

  constructor(onStop: () => void, isTerminal: boolean) {
    this.#onStop = onStop;
    this.isTerminal = isTerminal;
  }

  /** Resolves when the conversation has taken the piece and asks for more, or wants none. */
  async give(piece: Buffer): Promise<void> {
    if (this.#ended) return;
    this.#piece = piece;
    this.#wake?.();
    await new Promise<void>((resolve) => (this.#taken = resolve));
  }

  end(failure?: Error): void {
    this.#ended = true;
    this.#failure = failure;
    this.#wake?.();
  }

  stop(): void {
    this.#ended = true;
    this.#onStop();
    this.#piece = undefined;
    this.#wake?.();
    this.#taken?.();
  }

  close(): void {
    this.stop();
  }

  async read(): Promise<Buffer | null> {
    this.#taken?.();
    for (;;) {
      const piece = this.#piece;
      this.#piece = undefined;
      if (piece !== undefined) return piece;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return null;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

export interface Hub {
  readonly acceptor: Acceptor;
  readonly input: StandardInput;
  readonly output: Output;
  readonly options: TalkValues & { readonly max: number };
  readonly signal: AbortSignal;
  /** Serves a connection in another way than by standard input and output. */
  readonly serve: ((channel: Channel) => Promise<unknown>) | undefined;
}

/** Serves connections until the signal; the error of one ends none of the others. */
export async function serveMany({ acceptor, input, output, options, signal, serve }: Hub): Promise<void> {
  const shared = new SharedInput(input);
  const present = new Set<Promise<void>>();
  const one = async (channel: Channel): Promise<void> => {
    output.detail(`connection from ${channel.name}`, { event: "connected", peer: channel.name });
    try {
      if (serve !== undefined) await serve(channel);
      else await converse({ channel, input: shared.tap() as unknown as StandardInput, output, options, signal });
    } catch (error) {
      if (!signal.aborted) output.problem(error, channel.name);
    }
  };
  for (;;) {
    while (present.size >= options.max) await Promise.race(present);
    let channel: Channel;
    try {
      channel = await acceptor.accept({ signal });
    } catch (error) {
      if (!signal.aborted) throw error;
      break;
    }
    const visit: Promise<void> = one(channel).finally(() => present.delete(visit));
    present.add(visit);
  }
  await Promise.all(present);
}
