// Typed socket options, a file per level.

export { IP_TOS, IP_TTL } from "./ip.js";
export { IPV6_V6ONLY } from "./ipv6.js";
export { type SocketOption } from "./option.js";
export {
  type Linger,
  SO_ACCEPTCONN,
  SO_BROADCAST,
  SO_DOMAIN,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_TYPE,
} from "./so.js";
export { TCP_INFO, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_NODELAY, TCP_USER_TIMEOUT } from "./tcp.js";
export { type TcpInfo, type TcpState } from "./tcpInfo.js";
