// The PROXY protocol: the public functions and types, and those that other folders use.

export { decodeProxyHeader } from "./decodeProxyHeader.js";
export { encodeProxyHeader, type ProxyHeaderToSend } from "./encodeProxyHeader.js";
export {
  checkMaxBytes,
  type HeaderSource,
  PROXY_HEADER_MAX_BYTES,
  PROXY_HEADER_TIMEOUT,
  readHeader,
  readProxyHeader,
  type ReadProxyHeaderOptions,
} from "./readProxyHeader.js";
export {
  PP2_TYPE_ALPN,
  PP2_TYPE_AUTHORITY,
  PP2_TYPE_CRC32C,
  PP2_TYPE_NETNS,
  PP2_TYPE_NOOP,
  PP2_TYPE_SSL,
  PP2_TYPE_UNIQUE_ID,
  type ProxyHeader,
  type ProxyTlv,
} from "./proxyHeader.js";
