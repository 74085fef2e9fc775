// A conversation: standard input to a channel and what comes from it to standard output, until both directions have ended.
//
// The end of one direction is not the end of the other. After standard input the sending direction is finished (a half-close) and
// the peer's answer is read to its end. After the peer's end a person at a terminal has nothing to wait for; a file is sent
// to its end; a pipe is read until it brings nothing for a while, because its writer may never end.

import { SocketError } from "berkeley";

import { Failure, Interrupted } from "../frame/failure.js";
import type { Output } from "../frame/output.js";
import { Progress } from "../frame/progress.js";
import { Gone } from "../frame/standardOutput.js";
import { formatBytes, formatTime } from "../frame/units.js";
import type { Channel } from "./channel.js";
import type { StandardInput } from "./input.js";
import type { TalkValues } from "./options.js";
import { Quiet } from "./quiet.js";
import { Crlf, dataField, HexDump, Lines, type Transform } from "./text.js";

/** The most bytes of a datagram that are taken from a stream of input. */
const DATAGRAM = 8192;
/** How long what the kernel has acknowledged is read after Ctrl-C. */
const DRAIN = 1000;

/** The reason when a conversation has ended by itself. */
const DONE = new Failure("the conversation has ended");

export interface Conversation {
  readonly channel: Channel;
  readonly input: StandardInput;
  readonly output: Output;
  readonly options: Pick<
    TalkValues,
    "crlf" | "line" | "hex" | "noShutdown" | "sendOnly" | "receiveOnly" | "idle" | "linger"
  >;
  /** Ends it: Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Has the conversation; resolves at its end, and rejects with what ended it before. */
export async function converse(conversation: Conversation): Promise<void> {
  await new Talk(conversation).run();
}

class Talk {
  readonly #it: Conversation;
  readonly #ending = new AbortController();
  readonly #quiet: Quiet;
  readonly #sent: HexDump | undefined;
  readonly #received: HexDump | undefined;
  readonly #progress: Progress;
  readonly #began = performance.now();
  #sendError: Error | undefined;
  sent = 0;
  received = 0;

  constructor(it: Conversation) {
    this.#it = it;
    const { hex, idle, receiveOnly } = it.options;
    this.#quiet = new Quiet(idle, (fatal) => {
      const reason = fatal ? new Failure(`nothing came or went for ${formatTime(idle!)}`) : DONE;
      this.#ending.abort(reason);
    });
    if (hex) [this.#sent, this.#received] = [new HexDump(">"), new HexDump("<")];
    this.#progress = new Progress(it.output, receiveOnly ? undefined : it.input.size);
  }

  async run(): Promise<void> {
    const { input, signal, output, channel, options } = this.#it;
    this.#ending.signal.addEventListener("abort", () => input.stop(), { once: true });
    const cut = (): void => this.#ending.abort(signal.reason);
    signal.addEventListener("abort", cut, { once: true });
    if (signal.aborted) cut();
    output.whenGone(() => this.#ending.abort(new Gone()));
    const failed = (error: unknown): void => this.#ending.abort(error);
    const sending = options.receiveOnly ? Promise.resolve() : this.#send().catch((error) => this.#sendFailed(error));
    const receiving = options.sendOnly ? Promise.resolve() : this.#receive().catch(failed);
    if (options.sendOnly) void sending.then(() => this.#ending.abort(DONE));
    await Promise.all([sending, receiving]);
    signal.removeEventListener("abort", cut);
    this.#quiet.end();
    this.#progress.end();
    await this.#close();
    await output.endOfData().catch(() => undefined);
    const { sent, received } = this;
    const milliseconds = Math.round(performance.now() - this.#began);
    output.detail(`sent ${formatBytes(sent)} and received ${formatBytes(received)} in ${formatTime(milliseconds)}`, {
      event: "closed",
      peer: channel.name,
      sent,
      received,
      milliseconds,
    });
    const { reason } = this.#ending.signal;
    if (this.#ending.signal.aborted && reason !== DONE) throw reason;
    if (this.#sendError !== undefined) throw this.#sendError;
  }

  async #close(): Promise<void> {
    const { channel } = this.#it;
    const { aborted, reason } = this.#ending.signal;
    if (aborted && reason instanceof Interrupted) await this.#drain();
    if (aborted && reason !== DONE) channel.abort();
    else await channel.close().catch(() => undefined);
  }

  /** Reads what the kernel has acknowledged to the peer. */
  async #drain(): Promise<void> {
    const until = performance.now() + DRAIN;
    try {
      while (performance.now() < until) {
        const data = await this.#it.channel.receive({ timeout: 1 });
        if (data === null) return;
        await this.#show(data);
      }
    } catch {
      // There is no more.
    }
  }

  async #receive(): Promise<void> {
    const { channel, input, options } = this.#it;
    const { signal } = this.#ending;
    for (;;) {
      const data = await channel.receive({ signal });
      if (data === null) break;
      this.#quiet.touch();
      await this.#show(data);
    }
    if (options.receiveOnly || input.isTerminal || this.#sendError !== undefined) input.stop();
    else if (!input.isFile) this.#quiet.limit(options.linger);
  }

  async #show(data: Buffer): Promise<void> {
    const { output, channel } = this.#it;
    this.received += data.length;
    this.#progress.add(data.length);
    if (output.json) output.object({ event: "data", peer: channel.name, ...dataField(data) });
    else if (this.#received === undefined) await output.data(data);
    else for (const row of this.#received.rows(data)) output.line(output.style("green", row));
  }

  /** An error of sending is not the end: the peer may have said why. */
  #sendFailed(error: unknown): void {
    const { input, channel, options } = this.#it;
    if (this.#ending.signal.aborted) return;
    this.#sendError = error as Error;
    if (options.sendOnly || channel.messages || !(error instanceof SocketError)) return this.#ending.abort(error);
    input.stop();
    this.#quiet.limit(options.linger);
  }

  async #send(): Promise<void> {
    const { channel, input, options } = this.#it;
    const transforms = transformsOf(options);
    const direct = transforms.length === 0 && this.#sent === undefined && input.isFile;
    if (direct && channel.sendFile !== undefined) await this.#sendFile(channel.sendFile);
    else await this.#sendPieces(transforms);
    if (this.#ending.signal.aborted) return;
    if (!options.noShutdown) await channel.finish();
    // Nothing tells the end of an answer in datagrams.
    if (!channel.ends) this.#quiet.limit(options.linger);
  }

  async #sendFile(sendFile: NonNullable<Channel["sendFile"]>): Promise<void> {
    const before = this.sent;
    const onProgress = (count: number): void => {
      this.#quiet.touch();
      this.#progress.add(count - (this.sent - before));
      this.sent = before + count;
    };
    const done = this.#quiet.busy();
    await sendFile(0, this.#it.input.position, { signal: this.#ending.signal, onProgress }).finally(done);
  }

  async #sendPieces(transforms: readonly Transform[]): Promise<void> {
    const { input } = this.#it;
    const through = (pieces: Buffer[], from: number): Buffer[] =>
      transforms.slice(from).reduce((before, transform) => before.flatMap((piece) => transform.write(piece)), pieces);
    for (let chunk = await input.read(); chunk !== null; chunk = await input.read()) {
      await this.#sendAll(through([chunk], 0));
    }
    for (const [index, transform] of transforms.entries()) await this.#sendAll(through(transform.end(), index + 1));
  }

  async #sendAll(pieces: readonly Buffer[]): Promise<void> {
    const { channel, output } = this.#it;
    const { signal } = this.#ending;
    for (const piece of pieces) {
      const size = channel.messages ? DATAGRAM : Math.max(1, piece.length);
      for (let at = 0; at < piece.length; at += size) {
        const part = piece.subarray(at, at + size);
        const done = this.#quiet.busy();
        await channel.send(part, { signal }).finally(done);
        this.sent += part.length;
        this.#progress.add(part.length);
        for (const row of this.#sent?.rows(part) ?? []) output.line(output.style("cyan", row));
      }
    }
  }
}

function transformsOf({ crlf, line }: Conversation["options"]): Transform[] {
  return [...(line ? [new Lines()] : []), ...(crlf ? [new Crlf()] : [])];
}
