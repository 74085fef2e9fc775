// Channels of node:diagnostics_channel for connect() and listen(). Without a subscriber, a call makes no message.

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
  /** The number of the call among the observed calls of this thread, from 1 on. All its messages have this number. */
  readonly id: number;
  /** Milliseconds since 1970, as of `Date.now()`. */
  readonly time: number;
  /** The endpoint of the call. */
  readonly endpoint: string;
}

/** A message of `berkeley:connect:end` and `berkeley:listen:end`: the call has succeeded. */
export interface CallEndEvent extends CallStartEvent {
  /** Milliseconds. */
  readonly duration: number;
  /** The local address of the connection or the listener. */
  readonly local: string | null;
  /** The address of the other end of the connection; null for `listen()`. */
  readonly peer: string | null;
}

/** A message of `berkeley:connect:error` and `berkeley:listen:error`: the call has failed. */
export interface CallErrorEvent extends CallStartEvent {
  /** Milliseconds. */
  readonly duration: number;
  readonly error: EventError;
}

/** The addresses of a result. */
interface Addresses {
  readonly local: Address | undefined;
  readonly peer: Address | undefined;
}

const textOf = (address: Address | undefined): string | null => (address === undefined ? null : String(address));

/** The number of the latest call that was observed. */
let lastId = 0;

/** The three channels of `connect()` or of `listen()`. `T` is the type of the result. */
class CallEvents<T> {
  readonly #call: "connect" | "listen";
  readonly #addressesOf: (result: T) => Addresses;
  /** True while `observe()` begins its call: then the next `needsObserving()` returns false, and resets the field. */
  #skipNext = false;
  /** Opened by the first call, and stored, because Node holds channels weakly. */
  #channels: { readonly start: Channel; readonly end: Channel; readonly error: Channel } | undefined;

  constructor(call: "connect" | "listen", addressesOf: (result: T) => Addresses) {
    this.#call = call;
    this.#addressesOf = addressesOf;
  }

  /** Whether the call must be made through `observe()`. Returns false, once, for the call that `observe()` makes. */
  needsObserving(): boolean {
    if (this.#skipNext) return (this.#skipNext = false);
    const { end, error, start } = (this.#channels ??= this.#openChannels());
    return start.hasSubscribers || end.hasSubscribers || error.hasSubscribers;
  }

  #openChannels(): { readonly start: Channel; readonly end: Channel; readonly error: Channel } {
    const { channel } = diagnosticsChannel();
    const open = (name: string): Channel => channel(`berkeley:${this.#call}:${name}`);
    return { start: open("start"), end: open("end"), error: open("error") };
  }

  /** Makes the call, and publishes its messages. Call it only after `needsObserving()` has returned true. */
  async observe(target: Endpoint, run: () => Promise<T>): Promise<T> {
    const { end, error: failed, start } = this.#channels!;
    const endpoint = formatEndpoint(target);
    const since = clock();
    const duration = (): number => Math.round((clock() - since) * 1000) / 1000;
    const fields = { call: this.#call, id: ++lastId, endpoint };
    start.publish({ ...fields, time: Date.now() } satisfies CallStartEvent);
    let result: T;
    this.#skipNext = true;
    const pending = run();
    // If a subscriber has aborted the signal, run() ends before it calls needsObserving(), and the field is still true.
    this.#skipNext = false;
    try {
      result = await pending;
    } catch (error) {
      const event = { ...fields, time: Date.now(), duration: duration(), error: plainError(error) };
      failed.publish(event satisfies CallErrorEvent);
      throw error;
    }
    if (end.hasSubscribers) {
      const { local, peer } = this.#addressesOf(result);
      const event = { ...fields, time: Date.now(), duration: duration(), local: textOf(local), peer: textOf(peer) };
      end.publish(event satisfies CallEndEvent);
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
