// The reports of serveUdp(): it calls onRefused and onError, and makes records for `log` and the channels.
//
// A client can cause a dropped datagram or a failed handler with each datagram that it sends. So the records are
// limited: in a second there is at most one record of dropped datagrams for each reason, and one of a failure.

import { type DroppedEvent, ServerEvents } from "../admission/index.js";
import type { Address } from "../addr/index.js";
import type { DatagramBatch } from "../batch/index.js";
import { clock } from "../builtins.js";
import { runCallback, reportFailure } from "../callbacks.js";
import type { ServedBatch } from "./servedBatch.js";
import type { ServedDatagram } from "./servedDatagram.js";
import type { CheckedServeUdp, DatagramRefusalReason } from "./udpOptions.js";

/** Milliseconds between two records or warnings of one kind. */
const INTERVAL = 1000;

export class UdpEvents {
  readonly serverEvents: ServerEvents;
  readonly #opts: CheckedServeUdp;
  /** Dropped datagrams that are not reported yet, by reason. The timer runs exactly while there are some. */
  readonly #dropped = new Map<DroppedEvent["reason"], { datagrams: number; readonly client: string | null }>();
  #timer: NodeJS.Timeout | undefined;
  #warnedAt = -Infinity;
  #failedAt = -Infinity;

  constructor(address: () => Address | undefined, opts: CheckedServeUdp) {
    this.#opts = opts;
    const { log } = opts;
    this.serverEvents = new ServerEvents("serveUdp", address, { log, onPressure: undefined, onRefused: undefined });
  }

  /** The datagram at this place of the batch was dropped. */
  refused(reason: DatagramRefusalReason, batch: DatagramBatch, place: number): void {
    const { onRefused } = this.#opts;
    if (onRefused !== undefined) {
      const peer: Address | undefined = batch.address(place);
      queueMicrotask(() => runCallback("onRefused", onRefused, { reason, peer }));
    }
    if (!this.serverEvents.wantsDropped) return;
    const counted = this.#dropped.get(reason);
    if (counted !== undefined) {
      counted.datagrams++;
      return;
    }
    const client = batch.address(place);
    this.#dropped.set(reason, { datagrams: 1, client: client === undefined ? null : String(client) });
    this.#timer ??= setTimeout(() => this.#flush(), INTERVAL).unref();
  }

  /** A handler has failed. `count`, the number of failures so far, is the id in the record. */
  failed(count: number, error: unknown, work: ServedDatagram | ServedBatch): void {
    const now = clock();
    if (now - this.#failedAt >= INTERVAL) {
      this.#failedAt = now;
      // A batch has many senders, and `address` is a method of it.
      const client = typeof work.address === "function" ? undefined : work.address;
      this.serverEvents.reportHandlerError(count, client, client, error);
    }
    const { onError } = this.#opts;
    if (onError !== undefined) runCallback("onError", onError, error, work);
    else if (now - this.#warnedAt >= INTERVAL) {
      this.#warnedAt = now;
      reportFailure("the handler of serveUdp()", error);
    }
  }

  /** Makes the last records. Called when the server is closed. */
  end(accepted: number, refused: number): void {
    this.#flush();
    this.serverEvents.reportEnd(accepted, refused);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [reason, { client, datagrams }] of this.#dropped)
      this.serverEvents.reportDropped(reason, datagrams, client);
    this.#dropped.clear();
  }
}
