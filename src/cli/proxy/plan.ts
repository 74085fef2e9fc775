// The settings of a proxy, and its counters.

import type { Endpoint, ListenOptions, TlsConnectOptions } from "berkeley";

import { explain } from "../frame/failure.js";
import type { Output } from "../frame/output.js";
import { formatBytes, formatTime, plural } from "../frame/units.js";
import type { Recorder } from "./recorder.js";

export interface ProxyPlan {
  /** Where the proxy listens. */
  readonly from: Endpoint;
  /** The target, to which the proxy connects. */
  readonly to: Endpoint;
  /** The text of `to`, as it is printed. */
  readonly target: string;
  readonly output: Output;
  readonly serverTls: ListenOptions["tls"];
  readonly clientTls: TlsConnectOptions | undefined;
  readonly recorder: Recorder | undefined;
  /** Delay of each byte in ms, in each direction. */
  readonly latency: number;
  /** Bytes per second in each direction. */
  readonly rate: number | undefined;
  /** The fraction of datagrams that are dropped, from 0 to 1. */
  readonly drop: number;
  /** The seed of the random numbers that choose the dropped datagrams. */
  readonly seed: number;
  /** Whether the target gets a header of the PROXY protocol. */
  readonly proxyProtocol: boolean;
  /** The URL of a proxy through which the target is reached. */
  readonly via: string | undefined;
  /** ms without data after which a flow (a connection, or the datagrams of one client) ends. */
  readonly idle: number | undefined;
  /** Maximum number of connections, or clients of datagrams, at a time. */
  readonly max: number;
  /** Number of flows after which the proxy ends. */
  readonly count: number | undefined;
  /** Milliseconds for connecting to the target. */
  readonly timeout: number;
  /** Aborted to end the proxy and all flows. */
  readonly signal: AbortSignal;
  /** Aborted to close only the listener. The proxy then ends after its last connection, and with datagrams at once. */
  readonly draining: AbortSignal;
  readonly flowCounts: FlowCounts;
}

/** One connection, or the datagrams of one client. */
export interface Flow {
  readonly number: number;
  /** The name of the client. */
  readonly client: string;
  /** A time of `performance.now()`. */
  readonly began: number;
  /** Numbers of forwarded bytes. */
  toTarget: number;
  toClient: number;
  /** Datagrams that were dropped. */
  dropped: number;
}

/** Counts flows and bytes. Prints a line for each flow at its end, and the totals. */
export class FlowCounts {
  readonly #output: Output;
  readonly #target: string;
  readonly #unit: string;
  readonly #began = performance.now();
  #begun = 0;
  #endedFlows = 0;
  #failedFlows = 0;
  #toTarget = 0;
  #toClient = 0;
  #dropped = 0;

  /** @param unit the word for a flow: "connection" or "client" */
  constructor(output: Output, target: string, unit: string) {
    this.#output = output;
    this.#target = target;
    this.#unit = unit;
  }

  /** The number of flows that have begun. */
  get begun(): number {
    return this.#begun;
  }

  /** Counts a new flow. `began` is a time of `performance.now()`. */
  begin(client: string, began: number = performance.now()): Flow {
    const number = ++this.#begun;
    this.#output.detail(`${this.#unit} ${number} from ${client}`, { event: "connected", number, client });
    return { number, client, began, toTarget: 0, toClient: 0, dropped: 0 };
  }

  /** Adds a flow that has ended to the totals, and prints its line. */
  end({ number, client, began, toTarget, toClient, dropped }: Flow, error?: unknown): void {
    this.#endedFlows++;
    this.#toTarget += toTarget;
    this.#toClient += toClient;
    this.#dropped += dropped;
    if (error !== undefined) this.#failedFlows++;
    const milliseconds = Math.round(performance.now() - began);
    const failure = error === undefined ? undefined : explain(error);
    this.#output.result(
      {
        event: "connection",
        number,
        client,
        target: this.#target,
        toTarget,
        toClient,
        dropped,
        milliseconds,
        error: failure,
      },
      () =>
        `${client} -> ${this.#target}  to target ${formatBytes(toTarget)}, to client ${formatBytes(toClient)} in ` +
        `${formatTime(milliseconds)}${dropped > 0 ? `, ${dropped} dropped` : ""}` +
        (failure === undefined ? "" : this.#output.style("red", `  ${failure}`)),
    );
  }

  /** Prints the totals. */
  printTotals(): void {
    const connections = this.#endedFlows;
    const failed = this.#failedFlows;
    const toTarget = this.#toTarget;
    const toClient = this.#toClient;
    const dropped = this.#dropped;
    const milliseconds = Math.round(performance.now() - this.#began);
    this.#output.result(
      { event: "total", connections, failed, toTarget, toClient, dropped, milliseconds },
      () =>
        `total: ${plural(connections, this.#unit)}${failed > 0 ? `, ${failed} failed` : ""}, to target ` +
        `${formatBytes(toTarget)}, to client ${formatBytes(toClient)}${dropped > 0 ? `, ${dropped} dropped` : ""} in ` +
        formatTime(milliseconds),
    );
  }
}
