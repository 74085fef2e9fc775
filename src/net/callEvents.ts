// The channels of node:diagnostics_channel to which connect() and listen() publish messages about their calls.

import type { Channel } from "node:diagnostics_channel";
import { type Address, type Endpoint, formatEndpoint } from "../addr/index.js";
import { plainError } from "../admission/plainError.js";
import type { EventError } from "../admission/index.js";
import type { Stream } from "../stream/index.js";
import type { SocketListener } from "./socketListener.js";
import { clock, diagnosticsChannel } from "../builtins.js";

/** A message of `berkeley:connect:start` and `berkeley:listen:start`: a call has begun. */
export interface CallStartEvent {
  readonly call: "connect" | "listen";
  /** The number of the call, equal in all its messages. Calls that publish no message are not counted. */
  readonly id: number;
  /** Milliseconds since 1970, as of `Date.now()`. */
  readonly time: number;
  /** The endpoint of the call. */
  readonly endpoint: string;
}

/** A message of `berkeley:connect:end` and `berkeley:listen:end`: the call has succeeded. */
export interface CallEndEvent extends CallStartEvent {
  /** Milliseconds since the start of the call. */
  readonly duration: number;
  /** The local address of the connection or the listener. */
  readonly local: string | null;
  /** The address of the other end of the connection; null for `listen()`. */
  readonly peer: string | null;
}

/** A message of `berkeley:connect:error` and `berkeley:listen:error`: the call has failed. */
export interface CallErrorEvent extends CallStartEvent {
  /** Milliseconds since the start of the call. */
  readonly duration: number;
  readonly error: EventError;
}

/** The addresses of the stream or the listener that a call returns. */
interface ResultAddresses {
  readonly local: Address | undefined;
  readonly peer: Address | undefined;
}

interface CallChannels {
  readonly start: Channel;
  readonly end: Channel;
  readonly error: Channel;
}

const textOf = (address: Address | undefined): string | null => (address === undefined ? null : String(address));

/** The `id` of the latest call that has published messages. */
let lastId = 0;

/** The three channels of `connect()` or of `listen()`. `T` is the type that the call returns. */
class CallEvents<T> {
  readonly #call: "connect" | "listen";
  readonly #addressesOf: (result: T) => ResultAddresses;
  /** Opened for the first call, and stored, because Node holds channels weakly. */
  #channels: CallChannels | undefined;

  constructor(call: "connect" | "listen", addressesOf: (result: T) => ResultAddresses) {
    this.#call = call;
    this.#addressesOf = addressesOf;
  }

  #openChannels(): CallChannels {
    const { channel } = diagnosticsChannel();
    const open = (message: string): Channel => channel(`berkeley:${this.#call}:${message}`);
    return { start: open("start"), end: open("end"), error: open("error") };
  }

  /** Whether one of the channels has a subscriber. */
  hasSubscribers(): boolean {
    const { end, error, start } = (this.#channels ??= this.#openChannels());
    return start.hasSubscribers || end.hasSubscribers || error.hasSubscribers;
  }

  /** Calls `run`, which does the work of the call, and publishes the messages of its start and its end. */
  async publish(target: Endpoint, signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    const channels = (this.#channels ??= this.#openChannels());
    const endpoint = formatEndpoint(target);
    const startedAt = clock();
    /** In milliseconds, rounded to microseconds. */
    const duration = (): number => Math.round((clock() - startedAt) * 1000) / 1000;
    const fields = { call: this.#call, id: ++lastId, endpoint };
    channels.start.publish({ ...fields, time: Date.now() } satisfies CallStartEvent);
    let result: T;
    try {
      // A subscriber may have aborted the signal.
      signal?.throwIfAborted();
      result = await run();
    } catch (error) {
      const event = { ...fields, time: Date.now(), duration: duration(), error: plainError(error) };
      channels.error.publish(event satisfies CallErrorEvent);
      throw error;
    }
    if (channels.end.hasSubscribers) {
      const { local, peer } = this.#addressesOf(result);
      const event = { ...fields, time: Date.now(), duration: duration(), local: textOf(local), peer: textOf(peer) };
      channels.end.publish(event satisfies CallEndEvent);
    }
    return result;
  }
}

export const connectEvents: CallEvents<Stream> = new CallEvents("connect", ({ localAddress, remoteAddress }) => ({
  local: localAddress,
  peer: remoteAddress,
}));
export const listenEvents: CallEvents<SocketListener> = new CallEvents("listen", ({ address }) => ({
  local: address,
  peer: undefined,
}));
