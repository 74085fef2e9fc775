// The header of the PROXY protocol that forward() sends to its target.

import { type Address, type Inet6Address, type InetAddress } from "../addr/index.js";
import { checkOptions } from "../check/index.js";
import { encodeProxyHeader, type ProxyHeaderToSend, type ProxyTlv } from "../proxyProtocol/index.js";
import type { MakeHeader } from "./forwardedConnection.js";

/** The header that `forward()` sends to its target. */
export interface ForwardHeaderOptions {
  /** Default 2. Version 1 can have neither TLVs nor addresses of UNIX sockets. */
  readonly version?: 1 | 2 | undefined;
  /** TLVs to send after those of the header that came from the client's proxy; only version 2. */
  readonly tlvs?: readonly ProxyTlv[] | undefined;
  /** Adds a checksum of the header; only version 2. Default false. */
  readonly crc32c?: boolean | undefined;
}

/**
 * Checks the option `sendProxyProtocol`, and returns the function that makes the header for a client. Undefined without
 * the option.
 */
export function forwardHeader(opts: ForwardHeaderOptions | undefined, action: string): MakeHeader | undefined {
  if (opts === undefined) return undefined;
  checkOptions(opts, `${action}, sendProxyProtocol`, ["version", "tlvs", "crc32c"]);
  const { version = 2, tlvs = [], crc32c } = opts;
  // encodeProxyHeader() refuses `tlvs` with version 1, even an empty array.
  const fixedFields: ProxyHeaderToSend =
    version === 1 && tlvs.length === 0 ? { version, crc32c } : { version, tlvs, crc32c };
  // Throws for a wrong value, before there is a connection.
  encodeProxyHeader(fixedFields);
  return (client, socket, received) => {
    const addresses = headerAddresses(client, received?.destination ?? socket.getsockname());
    if (version === 1) return encodeProxyHeader({ ...fixedFields, ...addresses });
    return encodeProxyHeader({ ...fixedFields, ...addresses, tlvs: [...(received?.tlvs ?? []), ...tlvs] });
  };
}

/**
 * Both addresses, if a header can have them: both are of UNIX sockets, or each is of IPv4 or IPv6. Otherwise none.
 */
function headerAddresses(source: Address, destination: Address): Pick<ProxyHeaderToSend, "source" | "destination"> {
  const isUnix = (address: Address): boolean => "path" in address;
  const isInet = (address: Address): address is InetAddress | Inet6Address => "host" in address;
  if ((isUnix(source) && isUnix(destination)) || (isInet(source) && isInet(destination)))
    return { source, destination };
  return {};
}
