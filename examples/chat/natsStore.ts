// The messages of all rooms in a stream of NATS JetStream, for any number of nodes.
//
// A message of room R is published to the subject `chat.room.R`. JetStream stores it, gives it a number, and drops it if
// the stream has a message with the same id (`Nats-Msg-Id`) of the last ten minutes. Each node reads the subjects of the
// rooms in which it has members. The numbers are those of the stream, so those of a room grow and have gaps.

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
/** Milliseconds until another request is repeated. A JetStream that is starting does not answer. */
const REQUEST_TIMEOUT = 1000;
/** Milliseconds between a failed request and the next one. */
const RETRY = 100;
/** Milliseconds between two signs of life of a feed. After two of them have failed, it begins again. */
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
  #waiting: (() => void)[] = [];
  /** Ends each request that is under way, when NATS is lost. */
  readonly #underWay = new Set<() => void>();
  /** Ends each consumer. */
  readonly #consuming = new Set<() => void>();

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
      // JetStream accepts this if the stream exists with the same values. With other values, the existing stream is used.
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
      if (type === "disconnect") this.#become(false);
      else if (type === "reconnect") {
        // The server is there; JetStream may still be starting.
        const found = this.#untilDone(() => this.#manager.streams.info(this.#stream), undefined);
        // It rejects when this node closes the connection meanwhile.
        if (await found.catch(() => undefined)) this.#become(true);
      }
    }
  }

  #become(ready: boolean): void {
    if (this.#ready === ready) return;
    this.#ready = ready;
    const actions = ready ? [...this.#consuming, ...this.#waiting.splice(0)] : this.#underWay;
    for (const act of actions) act();
    this.#onState?.(ready);
  }

  /** Repeats a request until it has an answer. A request that has no answer may have been carried out. */
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

  /** Waits while there is no connection, so that the client of NATS does not queue requests. */
  async #untilReady(signal: AbortSignal): Promise<void> {
    while (!this.#ready) {
      signal.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const aborted = (): void => {
          this.#waiting = this.#waiting.filter((other) => other !== go);
          reject(signal.reason);
        };
        const go = (): void => {
          signal.removeEventListener("abort", aborted);
          resolve();
        };
        signal.addEventListener("abort", aborted, { once: true });
        this.#waiting.push(go);
      });
    }
  }

  #request<T>(request: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#untilDone(async () => {
      await this.#untilReady(signal);
      return this.#unlessLost(request());
    }, signal);
  }

  /** A request whose answer was lost with the connection would wait for its timeout. */
  #unlessLost<T>(request: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const lost = (): void => reject(new Error("the connection to NATS is lost"));
      this.#underWay.add(lost);
      void request.then(resolve, reject).finally(() => this.#underWay.delete(lost));
    });
  }

  #subject(room: string): string {
    return `${this.#stream.toLowerCase()}.room.${room}`;
  }

  async append(room: string, key: string, nick: string, text: Uint8Array, signal: AbortSignal): Promise<Receipt> {
    const subject = this.#subject(room);
    const payload = Buffer.concat([Buffer.from(`${nick} `), text]);
    // The same id each time: if the message was stored and the answer was lost, JetStream says that it is a duplicate.
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
        // The end of the signal, or a consumer that failed. It begins again after the last message.
        await pause(RETRY, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /**
   * The messages of a room after a number. It ends when the signal is aborted, or when the consumer has to begin again:
   * after NATS was lost, so that no time passes until the heartbeats have failed.
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
      // A node that was killed leaves its consumers behind.
      inactive_threshold: 30_000,
    };
    const consumer = await this.#request(() => this.#client.consumers.get(this.#stream, opts), signal);
    let stop = (): void => undefined;
    try {
      if (toEnd !== undefined && (await this.#request(() => consumer.info(), signal)).num_pending === 0) {
        toEnd.reached = true;
        return;
      }
      // An ordered consumer: the client of NATS begins it again at the right number if a message was lost on the way.
      const messages = await consumer.consume({ max_messages: 500, idle_heartbeat: HEARTBEAT });
      stop = () => messages.stop();
      this.#consuming.add(stop);
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
      this.#consuming.delete(stop);
      stop();
      // Best effort; `inactive_threshold` does the rest.
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
    // JetStream drops the oldest messages first. If the last one that the client has is there, so are all later ones.
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
