// The entry "berkeley/server": servers with limits, drain and counters, over connections and datagrams.

export {
  type AddressList,
  type AdmissionOptions,
  type ClosedEvent,
  type ConnectionEvent,
  type DrainEvent,
  type DroppedEvent,
  type EndEvent,
  type EndReason,
  type ErrorEvent,
  type EventConnection,
  type EventEnds,
  type EventError,
  type EventFields,
  type ListeningEvent,
  type DrainOptions,
  type PressureEvent,
  type ProxyProtocolOptions,
  type Refusal,
  type RefusalReason,
  type RefusedEvent,
  type ServerEvent,
  type ShortageEvent,
} from "../admission/index.js";
export {
  type MetricFamily,
  type MetricSample,
  type MetricsSource,
  type MetricsSources,
  serverMetrics,
} from "./metricFamilies.js";
export { MetricsServer, serveMetrics, type ServeMetricsOptions } from "./metricsServer.js";
export { formatMetrics, type MetricsFormat } from "./metricsText.js";
export { serve } from "./serve.js";
export { type ConnectionContext } from "./servedConnection.js";
export { Server, type ServerDescription, type ServerStats } from "./server.js";
export { type ServeOptions } from "./serverOptions.js";
export { serveUdp } from "./serveUdp.js";
export { type BatchHandler, type ServedBatch } from "./servedBatch.js";
export { type DatagramHandler, type Reply, type ServedDatagram } from "./servedDatagram.js";
export { type DatagramRefusal, type DatagramRefusalReason, type ServeUdpOptions } from "./udpOptions.js";
export { UdpServer } from "./udpServer.js";
export { type UdpServerDescription, type UdpServerStats } from "./udpStats.js";
export { serveWorkers } from "./serveWorkers.js";
export { type ServeWorkersOptions, type WorkerConnection, type WorkerEvent } from "./workerOptions.js";
export { WorkerError } from "./workerError.js";
export { WorkerServer } from "./workerServer.js";
export { type WorkerServerDescription, type WorkerServerStats, type WorkerStats } from "./workerStats.js";
export { type WorkerCounts } from "./workerMessages.js";
export { type WorkerState } from "./workerOwner.js";
export { ready, type Upgradable, upgrade, type Upgraded, upgradeOn, type UpgradeOnOptions } from "./upgrade.js";
export { UpgradeError } from "./upgradeError.js";
export { type UpgradeOptions } from "./newProgram.js";
export type { DescribedValue, Description, INSPECT, Inspectable } from "../registry/index.js";
export {
  decodeProxyHeader,
  encodeProxyHeader,
  PP2_TYPE_ALPN,
  PP2_TYPE_AUTHORITY,
  PP2_TYPE_CRC32C,
  PP2_TYPE_NETNS,
  PP2_TYPE_NOOP,
  PP2_TYPE_SSL,
  PP2_TYPE_UNIQUE_ID,
  PROXY_HEADER_MAX_BYTES,
  PROXY_HEADER_TIMEOUT,
  type ProxyHeader,
  type ProxyHeaderToSend,
  type ProxyTlv,
  readProxyHeader,
  type ReadProxyHeaderOptions,
} from "../proxyProtocol/index.js";
