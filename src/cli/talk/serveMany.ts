// --keep-open: serves many connections of one listener. Standard input is sent to all connections, and received data
// is printed. As in ncat, standard input is not read before the first connection.

import type { Output } from "../frame/output.js";
import type { Acceptor } from "./accept.js";
import type { Channel } from "./channel.js";
import { converse } from "./converse.js";
import type { Input, StandardInput } from "./input.js";
import type { TalkValues } from "./options.js";

/** Standard input for several conversations. A conversation gets the data that is read after its start. */
class SharedInput {
  readonly #standardInput: StandardInput;
  readonly #conversations = new Set<ConversationInput>();
  #isCopyStarted = false;
  #ended = false;
  #failure: Error | undefined;

  constructor(standardInput: StandardInput) {
    this.#standardInput = standardInput;
  }

  /** Returns the input of a new conversation. */
  newInput(): ConversationInput {
    const input = new ConversationInput(() => this.#conversations.delete(input), this.#standardInput.isTerminal);
    if (this.#ended) input.end(this.#failure);
    else this.#conversations.add(input);
    if (!this.#isCopyStarted) {
      this.#isCopyStarted = true;
      void this.#copyToAll();
    }
    return input;
  }

  /** Reads standard input to its end, and passes each chunk to all conversations. */
  async #copyToAll(): Promise<void> {
    try {
      for (let chunk = await this.#standardInput.read(); chunk !== null; chunk = await this.#standardInput.read()) {
        // Copied, because standard input reuses its buffer.
        const copy = Buffer.from(chunk);
        // Waits for the slowest conversation, so that no data has to be stored.
        await Promise.all([...this.#conversations].map((input) => input.pass(copy)));
      }
    } catch (error) {
      this.#failure = error as Error;
    }
    this.#ended = true;
    for (const input of this.#conversations) input.end(this.#failure);
  }
}

/** The input of one conversation: the data that SharedInput passes to it. */
class ConversationInput implements Input {
  readonly isTerminal: boolean;
  readonly isFile = false;
  readonly size = undefined;
  readonly position = 0;
  readonly #onStop: () => void;
  /** The piece that read() returns next. */
  #piece: Buffer | undefined;
  #ended = false;
  #failure: Error | undefined;
  /** Resumes a waiting read(). */
  #resumeRead: (() => void) | undefined;
  /** Resumes a waiting pass(). */
  #resumePass: (() => void) | undefined;

  constructor(onStop: () => void, isTerminal: boolean) {
    this.#onStop = onStop;
    this.isTerminal = isTerminal;
  }

  /** Passes a piece to the conversation. Resolves when the conversation reads again, or has stopped reading. */
  async pass(piece: Buffer): Promise<void> {
    if (this.#ended) return;
    this.#piece = piece;
    this.#resumeRead?.();
    await new Promise<void>((resolve) => (this.#resumePass = resolve));
  }

  /** Called at the end of standard input. `failure` is the error of a failed read of standard input. */
  end(failure?: Error): void {
    this.#ended = true;
    this.#failure = failure;
    this.#resumeRead?.();
  }

  /** Called when the conversation reads no more. Drops a piece that the conversation has not read. */
  stop(): void {
    this.#ended = true;
    this.#onStop();
    this.#piece = undefined;
    this.#resumeRead?.();
    this.#resumePass?.();
  }

  async read(): Promise<Buffer | null> {
    // The conversation has sent the previous piece, so pass() may continue.
    this.#resumePass?.();
    for (;;) {
      const piece = this.#piece;
      this.#piece = undefined;
      if (piece !== undefined) return piece;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return null;
      await new Promise<void>((resolve) => (this.#resumeRead = resolve));
    }
  }
}

export interface ServeManyPlan {
  readonly acceptor: Acceptor;
  readonly input: StandardInput;
  readonly output: Output;
  /** `max` is the maximum number of connections at the same time. */
  readonly options: TalkValues & { readonly max: number };
  readonly signal: AbortSignal;
  /** With --exec, runs the command for a connection. Otherwise undefined: the connections get standard input. */
  readonly execute: ((channel: Channel) => Promise<unknown>) | undefined;
}

/** Serves connections until the signal is aborted. An error of one connection does not end the others. */
export async function serveMany({ acceptor, input, output, options, signal, execute }: ServeManyPlan): Promise<void> {
  const sharedInput = new SharedInput(input);
  const running = new Set<Promise<void>>();
  const serveOne = async (channel: Channel): Promise<void> => {
    output.detail(`connection from ${channel.name}`, { event: "connected", peer: channel.name });
    try {
      if (execute !== undefined) await execute(channel);
      else await converse({ channel, input: sharedInput.newInput(), output, options, signal });
    } catch (error) {
      if (!signal.aborted) output.problem(error, channel.name);
    }
  };
  for (;;) {
    while (running.size >= options.max) await Promise.race(running);
    let channel: Channel;
    try {
      channel = await acceptor.accept({ signal });
    } catch (error) {
      if (!signal.aborted) throw error;
      break;
    }
    const task: Promise<void> = serveOne(channel).finally(() => running.delete(task));
    running.add(task);
  }
  await Promise.all(running);
}
