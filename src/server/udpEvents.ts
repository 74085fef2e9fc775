// The reports of serveUdp(): it calls onRefused and onError, and makes records for `log` and the channels.
//
// A client can cause a drop or a failed handler with each datagram. So the number of records is limited: in a second
// there is at most one record of dropped datagrams for each reason, and one of a failed handler.

import { type DroppedEvent, ServerEvents } from "../admission/index.js";
import type { Address } from "../addr/index.js";
import type { DatagramBatch } from "../batch/index.js";
import { clock } from "../builtins.js";
import { runCallback, reportFailure } from "../callbacks.js";
import type { ServedBatch } from "./servedBatch.js";
import type { ServedDatagram } from "./servedDatagram.js";
import type { CheckedServeUdp, DatagramRefusalReason } from "./udpOptions.js";

/** Milliseconds between two records or warnings of one kind. */
const REPORT_INTERVAL = 1000;

export class UdpEvents {
  readonly serverEvents: ServerEvents;
  readonly #opts: CheckedServeUdp;
  /** By reason, the number of dropped datagrams that are not reported yet, and the client of the first of them. */
  readonly #dropped = new Map<DroppedEvent["reason"], { datagrams: number; readonly client: string | null }>();
  /** Runs exactly while `#dropped` is not empty. */
  #timer: NodeJS.Timeout | undefined;
  /** The times of the latest warning and of the latest record of a failed handler. */
  #warnedAt = -Infinity;
  #recordedAt = -Infinity;

  constructor(address: () => Address | undefined, opts: CheckedServeUdp) {
    this.#opts = opts;
    const { log } = opts;
    this.serverEvents = new ServerEvents("serveUdp", address, { log, onPressure: undefined, onRefused: undefined });
  }

  /** Reports a datagram that was refused: it is dropped. The callback is `onRefused`, the event is `dropped`. */
  reportRefused(reason: DatagramRefusalReason, batch: DatagramBatch, place: number): void {
    const { onRefused } = this.#opts;
    if (onRefused !== undefined) {
      const peer: Address | undefined = batch.address(place);
      queueMicrotask(() => runCallback("onRefused", onRefused, { reason, peer }));
    }
    if (!this.serverEvents.wantsDropped) return;
    const unreported = this.#dropped.get(reason);
    if (unreported !== undefined) {
      unreported.datagrams++;
      return;
    }
    const client = batch.address(place);
    this.#dropped.set(reason, { datagrams: 1, client: client === undefined ? null : String(client) });
    this.#timer ??= setTimeout(() => this.#flush(), REPORT_INTERVAL).unref();
  }

  /** Reports that a handler has failed. `count`, the number of failures so far, is the id in the record. */
  reportFailed(count: number, error: unknown, work: ServedDatagram | ServedBatch): void {
    const now = clock();
    if (now - this.#recordedAt >= REPORT_INTERVAL) {
      this.#recordedAt = now;
      // A batch has many senders, so its `address` is a method.
      const client = typeof work.address === "function" ? undefined : work.address;
      // The sender of a datagram is both the client and the peer.
      this.serverEvents.reportHandlerError(count, client, client, error);
    }
    const { onError } = this.#opts;
    if (onError !== undefined) runCallback("onError", onError, error, work);
    else if (now - this.#warnedAt >= REPORT_INTERVAL) {
      this.#warnedAt = now;
      reportFailure("the handler of serveUdp()", error);
    }
  }

  /** Makes the last records. Called when the server is closed. */
  reportEnd(accepted: number, refused: number): void {
    this.#flush();
    this.serverEvents.reportEnd(accepted, refused);
  }

  /** Makes the records of the dropped datagrams. */
  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [reason, { client, datagrams }] of this.#dropped)
      this.serverEvents.reportDropped(reason, datagrams, client);
    this.#dropped.clear();
  }
}
