// Stores the messages of all rooms in a stream of NATS JetStream, which any number of nodes can share.
//
// A message of room R is published to the subject `chat.room.R`. JetStream stores it, gives it a number, and drops it
// if the stream has a message with the same id (`Nats-Msg-Id`) of the last ten minutes. Each node reads the subjects of
// the rooms in which it has members. The numbers are those of the stream, so those of a room grow and have gaps.

import {
  DeliverPolicy,
  DiscardPolicy,
  type JetStreamClient,
  type JetStreamManager,
  jetstreamManager,
  JetStreamApiError,
  type JsMsg,
  type OrderedConsumerOptions,
  StorageType,
} from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { setTimeout as pause } from "node:timers/promises";
import type { Feed, Receipt, Store, StoredMessage } from "./store.js";

export interface NatsOptions {
  /** The name of this node in the connections of NATS. */
  readonly name?: string | undefined;
  /** The name of the stream. Its subjects begin with the same word in lower case. Default "CHAT". */
  readonly stream?: string | undefined;
  /** Messages that the stream keeps of a room, when it is made. Default 10,000. */
  readonly maxMessages?: number | undefined;
  /** Servers of NATS that store each message, when the stream is made. Default 1. */
  readonly replicas?: number | undefined;
  /** Called when NATS is lost, and when it is back. */
  readonly onState?: ((ready: boolean) => void) | undefined;
}

/** Milliseconds until a message is published again, if there was no answer. */
const PUBLISH_TIMEOUT = 5000;
/** Milliseconds until any other request is repeated. A JetStream that is starting does not answer. */
const REQUEST_TIMEOUT = 1000;
/** Milliseconds between a failed request and the next one. */
const RETRY = 100;
/** Milliseconds between two heartbeats of a consumer. When two of them are missing, the consumer begins again. */
const HEARTBEAT = 2000;
const SECOND = 1e9;
/** The code of JetStream for a message that does not exist. */
const NO_MESSAGE = 10_037;

export class NatsStore implements Store {
  readonly #connection: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #client: JetStreamClient;
  readonly #stream: string;
  readonly #onState: ((ready: boolean) => void) | undefined;
  #ready = true;
  /** Called when NATS is back: they resume the requests that wait for that. */
  #waiting: (() => void)[] = [];
  /** Called when NATS is lost: they reject the requests that have no answer yet. */
  readonly #unanswered = new Set<() => void>();
  /** Called when NATS is back: they end the consumers, which then begin again. */
  readonly #consumers = new Set<() => void>();

  private constructor(connection: NatsConnection, manager: JetStreamManager, stream: string, opts: NatsOptions) {
    this.#connection = connection;
    this.#manager = manager;
    this.#client = manager.jetstream();
    this.#stream = stream;
    this.#onState = opts.onState;
    void this.#watch();
  }

  /** Connects, and makes the stream if it is not there. */
  static async open(url: string, opts: NatsOptions = {}): Promise<NatsStore> {
    const { maxMessages = 10_000, name = "chat", replicas = 1, stream = "CHAT" } = opts;
    const connection = await connect({ servers: url, name, maxReconnectAttempts: -1, reconnectTimeWait: 200 });
    try {
      const manager = await jetstreamManager(connection, { timeout: REQUEST_TIMEOUT });
      // If the stream exists with the same values, JetStream accepts the request. If it has other values, JetStream
      // refuses the request, and the existing stream is used as it is.
      await manager.streams
        .add({
          name: stream,
          subjects: [`${stream.toLowerCase()}.room.*`],
          storage: StorageType.File,
          discard: DiscardPolicy.Old,
          duplicate_window: 600 * SECOND,
          max_msgs_per_subject: maxMessages,
          num_replicas: replicas,
        })
        .catch(() => manager.streams.info(stream));
      return new NatsStore(connection, manager, stream, opts);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  get ready(): boolean {
    return this.#ready;
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type === "disconnect") this.#setReady(false);
      else if (type === "reconnect") {
        // The server is back, but its JetStream may still be starting.
        const found = this.#untilDone(() => this.#manager.streams.info(this.#stream), undefined);
        // The promise rejects if this node closes the connection in the meantime.
        if (await found.catch(() => undefined)) this.#setReady(true);
      }
    }
  }

  #setReady(ready: boolean): void {
    if (this.#ready === ready) return;
    this.#ready = ready;
    const actions = ready ? [...this.#consumers, ...this.#waiting.splice(0)] : this.#unanswered;
    for (const act of actions) act();
    this.#onState?.(ready);
  }

  /** Repeats a request until it has an answer. NATS may have carried out a request without an answer. */
  async #untilDone<T>(request: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    for (;;) {
      signal?.throwIfAborted();
      try {
        return await request();
      } catch (error) {
        if (this.#connection.isClosed()) throw error;
        await pause(RETRY, undefined, { signal });
      }
    }
  }

  /** Waits while NATS is lost. Otherwise the client library of NATS would queue the requests. */
  async #untilReady(signal: AbortSignal): Promise<void> {
    while (!this.#ready) {
      signal.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const aborted = (): void => {
          this.#waiting = this.#waiting.filter((other) => other !== resume);
          reject(signal.reason);
        };
        const resume = (): void => {
          signal.removeEventListener("abort", aborted);
          resolve();
        };
        signal.addEventListener("abort", aborted, { once: true });
        this.#waiting.push(resume);
      });
    }
  }

  #request<T>(request: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#untilDone(async () => {
      await this.#untilReady(signal);
      return this.#unlessLost(request());
    }, signal);
  }

  /** Rejects when NATS is lost. Otherwise a request whose answer was lost would wait for its timeout. */
  #unlessLost<T>(request: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const lost = (): void => reject(new Error("the connection to NATS is lost"));
      this.#unanswered.add(lost);
      void request.then(resolve, reject).finally(() => this.#unanswered.delete(lost));
    });
  }

  #subject(room: string): string {
    return `${this.#stream.toLowerCase()}.room.${room}`;
  }

  async append(room: string, key: string, nick: string, text: Uint8Array, signal: AbortSignal): Promise<Receipt> {
    const subject = this.#subject(room);
    const payload = Buffer.concat([Buffer.from(`${nick} `), text]);
    // Each try has the same id. If the message was stored and the answer was lost, JetStream reports a duplicate.
    const publish = () => this.#client.publish(subject, payload, { msgID: key, timeout: PUBLISH_TIMEOUT });
    const { duplicate, seq } = await this.#request(publish, signal);
    return { number: seq, duplicate };
  }

  async follow(room: string, deliver: (message: StoredMessage) => void, signal: AbortSignal): Promise<Feed> {
    const after = await this.#lastNumber(room, signal);
    const end = new AbortController();
    void this.#feed(room, after, deliver, end.signal);
    return { after, close: () => end.abort(new Error("the feed is closed")) };
  }

  /** Delivers all messages after a number, until the signal is aborted. */
  async #feed(
    room: string,
    after: number,
    deliver: (message: StoredMessage) => void,
    signal: AbortSignal,
  ): Promise<void> {
    let last = after;
    while (!signal.aborted && !this.#connection.isClosed()) {
      try {
        for await (const message of this.#consume(room, last, signal)) {
          if (message.number <= last) continue;
          last = message.number;
          deliver(message);
        }
      } catch {
        // The signal is aborted, or the consumer has failed. Another consumer begins after the last message.
        await pause(RETRY, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /**
   * The messages of a room after a number. The generator ends when the signal is aborted, and when NATS is back after a
   * loss. The caller then makes another consumer, without waiting for missing heartbeats.
   *
   * @param toEnd whether to end after the last message; `toEnd.reached` is true then
   */
  async *#consume(
    room: string,
    after: number,
    signal: AbortSignal,
    toEnd?: { reached: boolean },
  ): AsyncGenerator<StoredMessage> {
    const opts: Partial<OrderedConsumerOptions> = {
      filter_subjects: this.#subject(room),
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: after + 1,
      // In ms. JetStream then removes the consumers of a node that was killed.
      inactive_threshold: 30_000,
    };
    const consumer = await this.#request(() => this.#client.consumers.get(this.#stream, opts), signal);
    let stop = (): void => undefined;
    try {
      if (toEnd !== undefined && (await this.#request(() => consumer.info(), signal)).num_pending === 0) {
        toEnd.reached = true;
        return;
      }
      // An ordered consumer: if a message is missing, the client library of NATS begins again at its number.
      const messages = await consumer.consume({ max_messages: 500, idle_heartbeat: HEARTBEAT });
      stop = () => messages.stop();
      this.#consumers.add(stop);
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) return;
      for await (const message of messages) {
        yield read(message);
        if (toEnd === undefined || message.info.pending > 0) continue;
        toEnd.reached = true;
        return;
      }
    } finally {
      signal.removeEventListener("abort", stop);
      this.#consumers.delete(stop);
      stop();
      // If this fails, JetStream removes the consumer after `inactive_threshold`.
      if (this.#ready && !this.#connection.isClosed()) void consumer.delete().catch(() => undefined);
    }
  }

  async *read(room: string, after: number, signal: AbortSignal): AsyncGenerator<StoredMessage> {
    const end = { reached: false };
    let last = after;
    while (!end.reached) {
      signal.throwIfAborted();
      for await (const message of this.#consume(room, last, signal, end)) {
        last = message.number;
        yield message;
      }
    }
  }

  async resume(room: string, after: number, signal: AbortSignal): Promise<number> {
    // JetStream drops the oldest messages first. If it still has the last message of the client, it has all later ones.
    const had = after === 0 ? undefined : await this.#find({ seq: after }, signal);
    if (had?.subject === this.#subject(room)) return after;
    const oldest = await this.#find({ seq: 1, next_by_subj: this.#subject(room) }, signal);
    return oldest === undefined ? this.#lastNumber(room, signal) : oldest.seq - 1;
  }

  async #lastNumber(room: string, signal: AbortSignal): Promise<number> {
    const last = await this.#find({ last_by_subj: this.#subject(room) }, signal);
    return last?.seq ?? 0;
  }

  #find(
    which: { last_by_subj: string } | { seq: number; next_by_subj?: string },
    signal: AbortSignal,
  ): Promise<{ readonly seq: number; readonly subject: string } | undefined> {
    const get = async (): Promise<{ seq: number; subject: string } | undefined> => {
      try {
        return (await this.#manager.streams.getMessage(this.#stream, which)) ?? undefined;
      } catch (error) {
        if (error instanceof JetStreamApiError && error.code === NO_MESSAGE) return undefined;
        throw error;
      }
    };
    return this.#request(get, signal);
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }
}

function read(message: JsMsg): StoredMessage {
  const data = Buffer.from(message.data);
  const space = data.indexOf(0x20);
  return { number: message.seq, nick: data.toString("latin1", 0, space), text: data.subarray(space + 1) };
}
