// The entry "berkeley/server": servers with limits, drain and counters.

export {
  type AddressList,
  type AdmissionOptions,
  type DrainOptions,
  type PressureEvent,
  type ProxyProtocolOptions,
  type Refusal,
  type RefusalReason,
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
