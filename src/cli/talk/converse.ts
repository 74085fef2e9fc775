// A conversation copies standard input to a channel, and received data to standard output, until both directions have
// ended.
//
// The end of one direction does not end the other direction. At the end of standard input, the command half-closes the
// connection, and reads until the peer has finished. When the peer finishes first, the next step depends on standard
// input: a terminal is no longer read, a file is sent to its end, and a pipe is read until no data has come for
// `--linger`, because its writer may never end.

import { SocketError } from "berkeley";

import { Failure, InterruptedError } from "../frame/failure.js";
import type { Output } from "../frame/output.js";
import { Progress } from "../frame/progress.js";
import { OutputClosedError } from "../frame/standardOutput.js";
import { formatBytes, formatTime } from "../frame/units.js";
import type { Channel } from "./channel.js";
import type { Input } from "./input.js";
import type { TalkValues } from "./options.js";
import { IdleTimer } from "./idleTimer.js";
import { Crlf, dataField, HexDump, Lines, type Transform } from "./text.js";

/** If the channel sends messages, the maximum number of bytes of a message. Longer input becomes several messages. */
const MAX_MESSAGE = 8192;
/** After Ctrl-C, data that the kernel has received already is still read, for at most this many ms. */
const DRAIN_TIME = 1000;

/** The abort reason of a normal end. It is never thrown. */
const DONE = new Failure("the conversation has ended");

export interface Conversation {
  readonly channel: Channel;
  readonly input: Input;
  readonly output: Output;
  readonly options: Pick<
    TalkValues,
    "crlf" | "line" | "hex" | "noShutdown" | "sendOnly" | "receiveOnly" | "idle" | "linger"
  >;
  /** Aborted at Ctrl-C. The abort ends the conversation. */
  readonly signal: AbortSignal;
}

/** Runs the conversation. Resolves at its end. If an abort or an error ends it earlier, rejects with the reason. */
export async function converse(conversation: Conversation): Promise<void> {
  await new ConversationRun(conversation).run();
}

class ConversationRun {
  readonly #conversation: Conversation;
  readonly #ending = new AbortController();
  readonly #idleTimer: IdleTimer;
  /** With --hex: the dumps of sent and of received data. */
  readonly #sentDump: HexDump | undefined;
  readonly #receivedDump: HexDump | undefined;
  readonly #progress: Progress;
  readonly #began = performance.now();
  /** The error of a failed send, thrown at the end of the conversation. */
  #sendError: Error | undefined;
  /** The numbers of sent and received bytes. */
  sent = 0;
  received = 0;

  constructor(conversation: Conversation) {
    this.#conversation = conversation;
    const { hex, idle, receiveOnly } = conversation.options;
    this.#idleTimer = new IdleTimer(idle, {
      onIdle: () => this.#ending.abort(new Failure(`no data was sent or received for ${formatTime(idle!)}`)),
      onLingered: () => this.#ending.abort(DONE),
    });
    if (hex) [this.#sentDump, this.#receivedDump] = [new HexDump(">"), new HexDump("<")];
    this.#progress = new Progress(conversation.output, receiveOnly ? undefined : conversation.input.size);
  }

  async run(): Promise<void> {
    const { input, signal, output, channel, options } = this.#conversation;
    this.#ending.signal.addEventListener("abort", () => input.stop(), { once: true });
    const onAbort = (): void => this.#ending.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    output.onOutputClosed(() => this.#ending.abort(new OutputClosedError()));
    const onReceiveError = (error: unknown): void => this.#ending.abort(error);
    const sending = options.receiveOnly ? Promise.resolve() : this.#send().catch((error) => this.#onSendError(error));
    const receiving = options.sendOnly ? Promise.resolve() : this.#receive().catch(onReceiveError);
    // With --send-only, the conversation has ended when all is sent. A later abort does not change its result.
    if (options.sendOnly) void sending.then(() => this.#ending.abort(DONE));
    await Promise.all([sending, receiving]);
    signal.removeEventListener("abort", onAbort);
    this.#idleTimer.end();
    this.#progress.end();
    await this.#close();
    // If standard output is closed, the abort reason below reports it.
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
    const { channel } = this.#conversation;
    const { aborted, reason } = this.#ending.signal;
    if (aborted && reason instanceof InterruptedError) await this.#drain();
    if (aborted && reason !== DONE) channel.abort();
    else await channel.close().catch(() => undefined);
  }

  /** Reads and prints the data that the kernel has received already, because the peer regards it as delivered. */
  async #drain(): Promise<void> {
    const deadline = performance.now() + DRAIN_TIME;
    try {
      while (performance.now() < deadline) {
        const data = await this.#conversation.channel.receive({ timeout: 1 });
        if (data === null) return;
        await this.#printReceived(data);
      }
    } catch {
      // After a timeout, no data is left. After another error, no data can be read.
    }
  }

  async #receive(): Promise<void> {
    const { channel, input, options } = this.#conversation;
    const { signal } = this.#ending;
    for (;;) {
      const data = await channel.receive({ signal });
      if (data === null) break;
      this.#idleTimer.restart();
      await this.#printReceived(data);
    }
    const canSendMore = !options.receiveOnly && this.#sendError === undefined;
    if (!canSendMore || input.isTerminal) input.stop();
    else if (!input.isFile) this.#idleTimer.setLinger(options.linger);
  }

  /** Counts and prints received data. */
  async #printReceived(data: Buffer): Promise<void> {
    const { output, channel } = this.#conversation;
    this.received += data.length;
    this.#progress.add(data.length);
    if (output.json) output.object({ event: "data", peer: channel.name, ...dataField(data) });
    else if (this.#receivedDump === undefined) await output.data(data);
    else for (const row of this.#receivedDump.rows(data)) output.line(output.style("green", row));
  }

  /**
   * Stores the error, and ends the conversation. Exception: if the connection of a stream has failed, the stream is
   * first read until no data has come for `--linger`, because the peer may have sent its reason before.
   */
  #onSendError(error: unknown): void {
    const { input, channel, options } = this.#conversation;
    if (this.#ending.signal.aborted) return;
    this.#sendError = error as Error;
    const isConnectionError = error instanceof SocketError && !channel.isMessageBased;
    if (options.sendOnly || !isConnectionError) return this.#ending.abort(error);
    input.stop();
    this.#idleTimer.setLinger(options.linger);
  }

  async #send(): Promise<void> {
    const { channel, input, options } = this.#conversation;
    const transforms = transformsOf(options);
    // sendfile(2) copies inside the kernel, so this process can't change or print the bytes.
    const isUnchangedFile = input.isFile && transforms.length === 0 && this.#sentDump === undefined;
    if (isUnchangedFile && channel.sendFile !== undefined) await this.#sendFile(channel.sendFile);
    else await this.#sendPieces(transforms);
    if (this.#ending.signal.aborted) return;
    if (!options.noShutdown) await channel.finish();
    // An answer in datagrams has no end, so the wait for more datagrams is limited.
    if (!channel.hasEnd) this.#idleTimer.setLinger(options.linger);
  }

  async #sendFile(sendFile: NonNullable<Channel["sendFile"]>): Promise<void> {
    const onProgress = (sent: number): void => {
      this.#idleTimer.restart();
      this.#progress.add(sent - this.sent);
      this.sent = sent;
    };
    const endWrite = this.#idleTimer.beginWrite();
    // Descriptor 0 is standard input.
    await sendFile(0, this.#conversation.input.position, { signal: this.#ending.signal, onProgress }).finally(endWrite);
  }

  async #sendPieces(transforms: readonly Transform[]): Promise<void> {
    const { input } = this.#conversation;
    for (let chunk = await input.read(); chunk !== null; chunk = await input.read()) {
      await this.#sendAll(apply([chunk], transforms));
    }
    // The bytes that a transform has stored pass through the transforms after it.
    for (const [index, transform] of transforms.entries())
      await this.#sendAll(apply(transform.end(), transforms.slice(index + 1)));
  }

  async #sendAll(pieces: readonly Buffer[]): Promise<void> {
    const { channel, output } = this.#conversation;
    const { signal } = this.#ending;
    for (const piece of pieces) {
      const maxSize = channel.isMessageBased ? MAX_MESSAGE : piece.length;
      for (let at = 0; at < piece.length; at += maxSize) {
        const part = piece.subarray(at, at + maxSize);
        const endWrite = this.#idleTimer.beginWrite();
        await channel.send(part, { signal }).finally(endWrite);
        this.sent += part.length;
        this.#progress.add(part.length);
        for (const row of this.#sentDump?.rows(part) ?? []) output.line(output.style("cyan", row));
      }
    }
  }
}

/** Passes the pieces through all transforms, one after the other. */
function apply(pieces: Buffer[], transforms: readonly Transform[]): Buffer[] {
  return transforms.reduce((input, transform) => input.flatMap((piece) => transform.write(piece)), pieces);
}

function transformsOf({ crlf, line }: Conversation["options"]): Transform[] {
  return [...(line ? [new Lines()] : []), ...(crlf ? [new Crlf()] : [])];
}
