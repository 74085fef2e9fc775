// The events of a server: records for the channels of node:diagnostics_channel and for the option `log`, and the calls
// of `onRefused` and `onPressure`. All servers report their events here.
//
// Subscribers and callbacks are code of users. So they run in a microtask, and never in the middle of the accept loop
// or of an event of the poller. A report makes no object if neither a subscriber nor a callback gets it.

import type { Channel } from "node:diagnostics_channel";
import type { Address } from "../addr/index.js";
import { clock, diagnosticsChannel } from "../builtins.js";
import { runCallback } from "../callbacks.js";
import type { CheckedAdmission, PressureEvent, Refusal, RefusalReason } from "./limits.js";
import { plainError } from "./plainError.js";

/** An error in a {@link ServerEvent}. */
export interface EventError {
  readonly name: string;
  readonly message: string;
  /** Absent if the error has no code, or one that is not a string. */
  readonly code?: string;
}

/** The fields of every event. */
export interface EventFields<Name extends string> {
  readonly event: Name;
  /** Milliseconds since 1970, as of `Date.now()`. */
  readonly time: number;
  /** The name of the function that made the server. */
  readonly call: string;
  /** The address of the listener. */
  readonly local: string | null;
}

/** The two addresses of a connection in an event. */
export interface EventEnds {
  /** The address of the client, with the PROXY protocol the one in the header; null if it is unknown. */
  readonly client: string | null;
  /** The address of the other end of the socket. */
  readonly peer: string | null;
}

/** The connection of an event. `id` is the number of the connection, from 1 on. */
export interface EventConnection extends EventEnds {
  readonly id: number;
}

/** Why a connection has ended: regularly, with an error, by `drain()` or `close()`, or by the limit of that name. */
export type EndReason = "ended" | "failed" | "aborted" | "idleTimeout" | "maxLifetime" | "minReadRate";

/** The server begins to accept. */
export type ListeningEvent = EventFields<"listening">;
/** A connection was accepted. */
export type ConnectionEvent = EventFields<"connection"> & EventConnection;
/** A connection was reset without being served. `error` is absent if no error was the reason. */
export type RefusedEvent = EventFields<"refused"> &
  EventEnds & { readonly reason: RefusalReason; readonly error?: EventError };
/** A connection has ended. `duration` is in milliseconds. */
export type ClosedEvent = EventFields<"closed"> &
  EventConnection & {
    readonly reason: EndReason;
    readonly duration: number;
    readonly bytesReceived: number;
    readonly bytesSent: number;
    /** Only of `forward()`: the error that has ended the connection. */
    readonly error?: EventError;
    /** Only of `serveWorkers()`: the number of the worker. */
    readonly worker?: number;
  };
/** A handler has failed. Or, if the event has no `id`, the listener has failed, and the server ends. */
export type ErrorEvent = EventFields<"error"> & Partial<EventConnection> & { readonly error: EventError };
/** A shortage of descriptors or memory begins or ends. */
export type ShortageEvent = EventFields<"shortage"> & PressureEvent;
/** The server begins to drain. */
export type DrainEvent = EventFields<"drain"> & { readonly connections: number };
/** The server is closed, and no connection is left. The numbers are the totals of `stats()`. */
export type EndEvent = EventFields<"end"> & { readonly accepted: number; readonly refused: number };

/**
 * Only of `serveUdp()`: datagrams were received and dropped. One event counts the datagrams that were dropped for the
 * same reason in one second. The addresses are those of the first datagram, whose sender may be forged.
 */
export type DroppedEvent = EventFields<"dropped"> &
  EventEnds & {
    readonly reason: "allow" | "deny" | "ratePerAddress" | "maxPending" | "maxSize" | "draining";
    readonly datagrams: number;
  };

/** A record of what has happened at a server: numbers and strings only. */
export type ServerEvent =
  | ListeningEvent
  | ConnectionEvent
  | RefusedEvent
  | ClosedEvent
  | ErrorEvent
  | ShortageEvent
  | DroppedEvent
  | DrainEvent
  | EndEvent;

const EVENT_NAMES = [
  "listening",
  "connection",
  "refused",
  "closed",
  "error",
  "shortage",
  "dropped",
  "drain",
  "end",
] as const;
type Channels = Readonly<Record<ServerEvent["event"], Channel>>;

/** Stored, because Node holds channels weakly. */
let channels: Channels | undefined;

function openChannels(): Channels {
  const { channel } = diagnosticsChannel();
  const opened = EVENT_NAMES.map((name) => [name, channel(`berkeley:server:${name}`)] as const);
  return (channels ??= Object.fromEntries(opened) as Channels);
}

const textOf = (address: Address | undefined): string | null => (address === undefined ? null : String(address));

/** The options of a server that are callbacks for events. */
export type EventHooks = Pick<CheckedAdmission, "log" | "onPressure" | "onRefused">;

/** Reports the events of one server. */
export class ServerEvents {
  readonly #call: string;
  readonly #address: () => Address | undefined;
  readonly #hooks: EventHooks;
  readonly #channels: Channels = channels ?? openChannels();

  /** @param address returns the address of the listener */
  constructor(call: string, address: () => Address | undefined, hooks: EventHooks) {
    this.#call = call;
    this.#address = address;
    this.#hooks = hooks;
  }

  /** Whether events need the addresses of clients. */
  get needsAddresses(): boolean {
    const { closed, connection, error, refused } = this.#channels;
    return (
      this.#hooks.log !== undefined ||
      closed.hasSubscribers ||
      connection.hasSubscribers ||
      refused.hasSubscribers ||
      error.hasSubscribers
    );
  }

  /** Whether `log`, or a subscriber of the channel, gets this event. */
  #isWanted(name: ServerEvent["event"]): boolean {
    return (this.#hooks.log !== undefined && name !== "connection") || this.#channels[name].hasSubscribers;
  }

  #fields<Name extends string>(event: Name): EventFields<Name> {
    return { event, time: Date.now(), call: this.#call, local: textOf(this.#address()) };
  }

  #emit(event: ServerEvent): void {
    const { log } = this.#hooks;
    const channel = this.#channels[event.event];
    queueMicrotask(() => {
      // publish() does not throw: Node reports errors of subscribers as uncaught exceptions in the next tick.
      if (channel.hasSubscribers) channel.publish(event);
      if (log !== undefined && event.event !== "connection") runCallback("log", log, event);
    });
  }

  reportListening(): void {
    if (this.#isWanted("listening")) this.#emit(this.#fields("listening"));
  }

  reportConnection(id: number, client: Address | undefined, peer: Address | undefined): void {
    if (!this.#isWanted("connection")) return;
    this.#emit({ ...this.#fields("connection"), id, client: textOf(client), peer: textOf(peer) });
  }

  reportRefused(refusal: Refusal): void {
    const { onRefused } = this.#hooks;
    if (onRefused !== undefined) queueMicrotask(() => runCallback("onRefused", onRefused, refusal));
    if (!this.#isWanted("refused")) return;
    const { client, peer, reason } = refusal;
    const event = { ...this.#fields("refused"), reason, client: textOf(client), peer: textOf(peer) };
    this.#emit("error" in refusal ? { ...event, error: plainError(refusal.error) } : event);
  }

  /** @param startedAt when the connection was accepted, as of `clock()` */
  reportClosed(
    id: number,
    client: Address | undefined,
    peer: Address | undefined,
    startedAt: number,
    bytesReceived: number,
    bytesSent: number,
    reason: EndReason,
    failure?: { readonly error: unknown },
  ): void {
    if (!this.#isWanted("closed")) return;
    const event = {
      ...this.#fields("closed"),
      id,
      client: textOf(client),
      peer: textOf(peer),
      reason,
      // Rounded to microseconds.
      duration: Math.round((clock() - startedAt) * 1000) / 1000,
      bytesReceived,
      bytesSent,
    };
    this.#emit(failure === undefined ? event : { ...event, error: plainError(failure.error) });
  }

  /** Whether the event "closed" has a receiver. */
  get wantsClosed(): boolean {
    return this.#isWanted("closed");
  }

  /** Reports the end of a connection of a worker, with the record that the worker has made. */
  reportClosedInWorker(record: ClosedEvent, worker: number): void {
    if (this.wantsClosed) this.#emit({ ...record, call: this.#call, worker });
  }

  reportHandlerError(id: number, client: Address | undefined, peer: Address | undefined, error: unknown): void {
    if (!this.#isWanted("error")) return;
    const connection = { id, client: textOf(client), peer: textOf(peer) };
    this.#emit({ ...this.#fields("error"), ...connection, error: plainError(error) });
  }

  reportListenerError(error: unknown): void {
    if (this.#isWanted("error")) this.#emit({ ...this.#fields("error"), error: plainError(error) });
  }

  reportShortage(state: PressureEvent["state"], code: string): void {
    const { onPressure } = this.#hooks;
    if (onPressure !== undefined) queueMicrotask(() => runCallback("onPressure", onPressure, { state, code }));
    if (this.#isWanted("shortage")) this.#emit({ ...this.#fields("shortage"), state, code });
  }

  /** Whether the event "dropped" has a receiver. */
  get wantsDropped(): boolean {
    return this.#isWanted("dropped");
  }

  reportDropped(reason: DroppedEvent["reason"], datagrams: number, client: string | null): void {
    // Replies go to the sender of a datagram, so the sender is both the client and the peer.
    if (this.wantsDropped) this.#emit({ ...this.#fields("dropped"), reason, datagrams, client, peer: client });
  }

  reportDrain(connections: number): void {
    if (this.#isWanted("drain")) this.#emit({ ...this.#fields("drain"), connections });
  }

  reportEnd(accepted: number, refused: number): void {
    if (this.#isWanted("end")) this.#emit({ ...this.#fields("end"), accepted, refused });
  }
}
