// Makes metric families from the counters of servers and from figures of the process.

import { fs, perfHooks } from "../builtins.js";
import { quote } from "../check/index.js";

/** A figure of a {@link MetricFamily}. */
export interface MetricSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The samples of one name. */
export interface MetricFamily {
  /** The name in OpenMetrics: that of a counter has no `_total`. A name with a unit ends with the unit. */
  readonly name: string;
  readonly type: "counter" | "gauge" | "stateset";
  readonly unit?: "bytes" | "seconds" | undefined;
  readonly help: string;
  readonly samples: readonly MetricSample[];
}

/**
 * A server with counters: the result of `serve()` or `forward()`, or any object whose `stats()` returns counters of the
 * same names.
 */
export interface MetricsSource {
  stats(): object | PromiseLike<object>;
}

/** Servers by the value of the label `server`. */
export type MetricsSources = Readonly<Record<string, MetricsSource>>;

/**
 * Figures of the process. The numbers of descriptors explain a shortage, and the times show how busy the event loop is.
 */
export interface ProcessFigures {
  readonly openDescriptors: number | undefined;
  readonly maxDescriptors: number | undefined;
  /** Seconds in which the event loop of this thread has worked and has waited. */
  readonly active: number;
  readonly idle: number;
}

/** How a counter of `stats()` becomes a metric. All metrics with one name are samples of one family. */
interface Metric {
  /** The name of the counter in `stats()`. */
  readonly field: string;
  /** The name of the family. */
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly unit?: "bytes";
}

const gauge = (field: string, name: string, help: string): Metric => ({ field, name, type: "gauge", help });
const counter = (field: string, name: string, help: string): Metric => ({ field, name, type: "counter", help });
const bytes = (field: string, name: string, help: string): Metric => ({ ...counter(field, name, help), unit: "bytes" });
/** Counters of one family. The name of the counter is the value of the label `reason`. */
const byReason = (name: string, help: string, ...fields: string[]): Metric[] =>
  fields.map((field) => ({ ...counter(field, name, help), labels: { reason: field } }));

/** The metrics of servers of connections. */
const CONNECTION_METRICS: readonly Metric[] = [
  gauge("connections", "berkeley_server_connections", "Open connections"),
  counter("accepted", "berkeley_server_accepted", "Connections that were accepted and not refused"),
  counter("refused", "berkeley_server_refused", "Connections that were refused"),
  counter("proxyRefused", "berkeley_server_proxy_refused", "Connections without a valid header of a trusted proxy"),
  counter(
    "failed",
    "berkeley_server_failed",
    "Connections whose handler has failed, or that forward() has ended with an error",
  ),
  ...byReason(
    "berkeley_server_cut",
    "Connections that the server has reset, by the limit; aborted: by drain() and close()",
    "aborted",
    "idleTimeout",
    "maxLifetime",
    "minReadRate",
  ),
  counter("lost", "berkeley_server_lost", "Connections that have ended because their worker has ended"),
  counter("shortages", "berkeley_server_shortages", "Shortages of descriptors or memory that have begun"),
  bytes("bytesReceived", "berkeley_server_received_bytes", "Bytes received from clients"),
  bytes("bytesSent", "berkeley_server_sent_bytes", "Bytes sent to clients"),
  bytes("toTarget", "berkeley_server_to_target_bytes", "Bytes forwarded to the target, of connections that have ended"),
  bytes("toClient", "berkeley_server_to_client_bytes", "Bytes forwarded to clients, of connections that have ended"),
];

/** The metrics of servers of datagrams. */
const DATAGRAM_METRICS: readonly Metric[] = [
  gauge("pending", "berkeley_udp_server_pending", "Handlers whose promise is pending"),
  counter("accepted", "berkeley_udp_server_accepted", "Datagrams that were passed to the handler"),
  counter("refused", "berkeley_udp_server_refused", "Datagrams that the server has dropped"),
  counter("ratePerAddress", "berkeley_udp_server_rate_refused", "Datagrams of sources that have sent too many"),
  counter(
    "dropped",
    "berkeley_udp_server_dropped",
    "Datagrams that the kernel has dropped: the receive buffer was full",
  ),
  counter("receiveErrors", "berkeley_udp_server_receive_errors", "Errors that the kernel has reported for a datagram"),
  counter("failed", "berkeley_udp_server_failed", "Handlers that have failed"),
  ...byReason(
    "berkeley_udp_server_cut",
    "Handlers on which the server has given up; aborted: by drain() and close()",
    "aborted",
    "handlerTimeout",
  ),
  counter("sent", "berkeley_udp_server_replies", "Replies that the kernel has taken"),
  counter("sendErrors", "berkeley_udp_server_send_errors", "Replies that the kernel has refused"),
  counter("repliesDropped", "berkeley_udp_server_replies_dropped", "Replies that were dropped before they were sent"),
  counter("amplification", "berkeley_udp_server_amplification", "Replies that were refused because of amplification"),
  bytes("bytesReceived", "berkeley_udp_server_received_bytes", "Bytes of the accepted datagrams"),
  bytes("bytesSent", "berkeley_udp_server_sent_bytes", "Bytes of the replies"),
];

const ALL_METRICS = [...CONNECTION_METRICS, ...DATAGRAM_METRICS];
/** The metrics of a server with these counters. Only servers of datagrams count `amplification`. */
const metricsOf = (stats: object): readonly Metric[] =>
  "amplification" in stats ? DATAGRAM_METRICS : CONNECTION_METRICS;

const STATES = ["listening", "draining", "closed"];
const STATE_FAMILY = "berkeley_server_state";

/** Checks the name of a server, and that the server has `stats()`. */
export function checkSource(name: unknown, source: unknown, action: string): void {
  if (typeof name !== "string" || name === "" || name.length > 128) {
    throw new TypeError(`Cannot ${action}: the name of a server is ${quote(name)}, required 1 to 128 characters`);
  }
  if (typeof (source as Partial<MetricsSource> | null | undefined)?.stats !== "function") {
    throw new TypeError(`Cannot ${action}: server ${quote(name)} is ${quote(source)}, required an object with stats()`);
  }
}

export function checkSources(sources: unknown, action: string): void {
  if (typeof sources !== "object" || sources === null) {
    throw new TypeError(`Cannot ${action}: servers are ${quote(sources)}, required an object of servers by name`);
  }
  for (const [name, source] of Object.entries(sources)) checkSource(name, source, action);
}

/** Whether a value can be that of a sample. `stats()` may be a method of the user, and return anything. */
const isFigure = (value: unknown): value is number => typeof value === "number" && !Number.isNaN(value);

/** The counters of servers, each with the name of its server. */
export type NamedStats = readonly (readonly [name: string, stats: object])[];

/** The families with a sample for each worker. In all other families, a server with workers has the sums. */
function workerFamilies(servers: NamedStats): MetricFamily[] {
  const allWorkers = servers.flatMap(([server, { workers }]: readonly [string, { workers?: unknown }]) =>
    Array.isArray(workers)
      ? (workers as Partial<Record<"connections" | "restarts" | "worker", unknown>>[]).map((worker) => ({
          server,
          worker,
        }))
      : [],
  );
  const samplesOf = (field: "connections" | "restarts"): MetricSample[] =>
    allWorkers.flatMap(({ server, worker }) => {
      const value = worker[field];
      return isFigure(value) ? [{ labels: { server, worker: String(worker.worker) }, value }] : [];
    });
  const families: MetricFamily[] = [
    {
      name: "berkeley_server_worker_connections",
      type: "gauge",
      help: "Open connections of each worker",
      samples: samplesOf("connections"),
    },
    {
      name: "berkeley_server_worker_restarts",
      type: "counter",
      help: "How often a worker was replaced",
      samples: samplesOf("restarts"),
    },
  ];
  return families.filter(({ samples }) => samples.length > 0);
}

/** The families of the counters of servers. */
export function familiesOf(servers: NamedStats): MetricFamily[] {
  const families = new Map<string, { -readonly [K in keyof MetricFamily]: MetricFamily[K] }>();
  for (const metric of ALL_METRICS) {
    const { field, name, type, unit, help, labels } = metric;
    const samples: MetricSample[] = servers.flatMap(([server, stats]) => {
      if (!metricsOf(stats).includes(metric)) return [];
      const value = (stats as Record<string, unknown>)[field];
      return isFigure(value) ? [{ labels: { server, ...labels }, value }] : [];
    });
    if (samples.length === 0) continue;
    const existing = families.get(name);
    if (existing === undefined) families.set(name, { name, type, unit, help, samples });
    else existing.samples = [...existing.samples, ...samples];
  }
  const stateSamples = servers.flatMap(([server, stats]) => {
    const current = (stats as { readonly state?: unknown }).state;
    if (!STATES.includes(current as string)) return [];
    // A state set has a sample for each possible state. The value is 1 for the current state, and 0 for the others.
    return STATES.map((state) => ({ labels: { server, [STATE_FAMILY]: state }, value: state === current ? 1 : 0 }));
  });
  if (stateSamples.length > 0) {
    families.set(STATE_FAMILY, {
      name: STATE_FAMILY,
      type: "stateset",
      help: "The state of the server",
      samples: stateSamples,
    });
  }
  return [...families.values(), ...workerFamilies(servers)];
}

/** Reads the figures of the process. If /proc can't be read, the numbers of descriptors are undefined. */
export function readProcessFigures(): ProcessFigures {
  const { active, idle } = perfHooks().performance.eventLoopUtilization();
  let openDescriptors: number | undefined;
  let maxDescriptors: number | undefined;
  try {
    // Minus one: the descriptor that readdirSync() opens for the directory.
    openDescriptors = fs().readdirSync("/proc/self/fd").length - 1;
    const limits = fs().readFileSync("/proc/self/limits", "latin1");
    maxDescriptors = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Infinity);
  } catch {
    // There is no /proc, or no descriptor is free to open files in it.
  }
  return { openDescriptors, maxDescriptors, active: active / 1000, idle: idle / 1000 };
}

/** The families of the figures of the process. */
export function processFamilies(figures: ProcessFigures): MetricFamily[] {
  const { active, idle, maxDescriptors, openDescriptors } = figures;
  const gaugeIfKnown = (name: string, help: string, value: number | undefined): MetricFamily[] =>
    value === undefined ? [] : [{ name, type: "gauge", help, samples: [{ labels: {}, value }] }];
  return [
    ...gaugeIfKnown("berkeley_process_open_descriptors", "Open descriptors of the process", openDescriptors),
    ...gaugeIfKnown("berkeley_process_max_descriptors", "RLIMIT_NOFILE of the process", maxDescriptors),
    {
      name: "berkeley_event_loop_seconds",
      type: "counter",
      unit: "seconds",
      help: "Time in which the event loop of this thread has worked (active) and has waited for events (idle)",
      samples: [
        { labels: { state: "active" }, value: active },
        { labels: { state: "idle" }, value: idle },
      ],
    },
  ];
}

/**
 * The counters of servers as metric families, and figures of this process. {@link formatMetrics} makes a text of them.
 *
 * @param servers servers by name, the value of the label `server`
 * @throws TypeError (by rejecting) for a wrong argument; the errors of `stats()`
 * @example
 * ```ts
 * import { formatMetrics, serve, serverMetrics } from "berkeley/server";
 *
 * await using chat = await serve("tcp://127.0.0.1:0", () => undefined);
 * const text = formatMetrics(await serverMetrics({ chat }), "openmetrics");
 * console.log(text.split("\n")[2]); // prints: berkeley_server_connections{server="chat"} 0
 * ```
 */
export async function serverMetrics(servers: MetricsSources): Promise<MetricFamily[]> {
  checkSources(servers, "read metrics");
  const stats = await Promise.all(
    Object.entries(servers).map(async ([name, server]) => [name, await server.stats()] as const),
  );
  return [...familiesOf(stats), ...processFamilies(readProcessFigures())];
}
