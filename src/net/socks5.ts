// Opens a tunnel through a SOCKS 5 proxy (RFC 1928), with user name and password (RFC 1929).

import { HostPort, InetAddress, parseIPv4, parseIPv6 } from "../addr/index.js";
import type { Stream } from "../stream/index.js";
import { type CheckedWait, remainingWait } from "./endpointOptions.js";
import { type CheckedProxy, type Credentials, ProxyRefusal } from "./proxy.js";
import type { HostAddress } from "./resolveHost.js";

// Numbers of RFC 1928.
const SOCKS_VERSION = 5;
/** The version of the authentication with user name and password; RFC 1929. */
const PASSWORD_VERSION = 1;
/** No authentication. */
const METHOD_NONE = 0;
const METHOD_PASSWORD = 2;
const NO_ACCEPTABLE_METHOD = 0xff;
const COMMAND_CONNECT = 1;
const ADDRESS_IPV4 = 1;
const ADDRESS_NAME = 3;
const ADDRESS_IPV6 = 4;
const PORT_BYTES = 2;

/** The replies that refuse a request; RFC 1928, section 6. For each, the error code and the text of the RFC. */
const REPLIES: Readonly<Record<number, readonly [code: string, text: string]>> = {
  1: ["EIO", "general SOCKS server failure"],
  2: ["EACCES", "connection not allowed by ruleset"],
  3: ["ENETUNREACH", "network unreachable"],
  4: ["EHOSTUNREACH", "host unreachable"],
  5: ["ECONNREFUSED", "connection refused"],
  6: ["EHOSTUNREACH", "TTL expired"],
  7: ["EOPNOTSUPP", "command not supported"],
  8: ["EAFNOSUPPORT", "address type not supported"],
};

/** Makes the proxy connect to `target`. Bytes after its reply stay in the stream. */
export async function socks5Connect(
  stream: Stream,
  { credentials }: CheckedProxy,
  target: HostAddress | HostPort,
  wait: CheckedWait,
): Promise<void> {
  const request = connectRequest(target);
  const methods = credentials === undefined ? [METHOD_NONE] : [METHOD_NONE, METHOD_PASSWORD];
  await stream.write(Uint8Array.of(SOCKS_VERSION, methods.length, ...methods), remainingWait(wait));
  const [version, method] = await stream.readExactly(2, remainingWait(wait));
  checkVersion(version, SOCKS_VERSION);
  if (method === METHOD_PASSWORD && credentials !== undefined) await authenticate(stream, credentials, wait);
  else if (method === NO_ACCEPTABLE_METHOD) {
    const hint = credentials === undefined ? "; it may require a user name and a password: set them in `via`" : "";
    throw new ProxyRefusal("EACCES", `the proxy accepts no method of authentication that was offered${hint}`);
  } else if (method !== METHOD_NONE) {
    throw new ProxyRefusal("EPROTO", `the proxy chose method ${method}, which was not offered`);
  }
  await stream.write(request, remainingWait(wait));
  await readReply(stream, wait);
}

/** Authenticates with a user name and a password: RFC 1929. */
async function authenticate(stream: Stream, { username, password }: Credentials, wait: CheckedWait): Promise<void> {
  const user = Buffer.from(username);
  const secret = Buffer.from(password);
  const head = Uint8Array.of(PASSWORD_VERSION, user.length);
  await stream.write([head, user, Uint8Array.of(secret.length), secret], remainingWait(wait));
  const [version, status] = await stream.readExactly(2, remainingWait(wait));
  checkVersion(version, PASSWORD_VERSION);
  if (status !== 0)
    throw new ProxyRefusal("EACCES", `the proxy refused the user name and the password with status ${status}`);
}

function checkVersion(version: number | undefined, required: number): void {
  if (version === required) return;
  throw new ProxyRefusal("EPROTO", `the proxy answered with version ${version}, required ${required}`);
}

/** Encodes the request to connect to `target`; RFC 1928, section 4. */
function connectRequest(target: HostAddress | HostPort): Buffer {
  const port = Buffer.alloc(PORT_BYTES);
  port.writeUInt16BE(target.port);
  // The third byte is reserved.
  return Buffer.concat([Uint8Array.of(SOCKS_VERSION, COMMAND_CONNECT, 0), encodeDestination(target), port]);
}

/** Encodes the type of the address, and the address or the name with its length. */
function encodeDestination(target: HostAddress | HostPort): Uint8Array {
  const { host } = target;
  if (target instanceof InetAddress) return Uint8Array.of(ADDRESS_IPV4, ...(parseIPv4(host) as Uint8Array));
  if (!(target instanceof HostPort)) return Uint8Array.of(ADDRESS_IPV6, ...(parseIPv6(host)?.bytes as Uint8Array));
  const name = Buffer.from(host);
  return Uint8Array.of(ADDRESS_NAME, name.length, ...name);
}

/** Reads the reply to the request; RFC 1928, section 6. */
async function readReply(stream: Stream, wait: CheckedWait): Promise<void> {
  // The third byte is reserved.
  const [version, reply = 0, , type = 0] = await stream.readExactly(4, remainingWait(wait));
  checkVersion(version, SOCKS_VERSION);
  if (reply !== 0) {
    const [code, text] = REPLIES[reply] ?? ["EPROTO", "unassigned"];
    throw new ProxyRefusal(code, `the proxy answered ${reply}: ${text}`, { reply });
  }
  // The rest of the reply is the address and the port from which the proxy connects. They are not used, but are read,
  // because the bytes of the destination follow them.
  if (type === ADDRESS_IPV4) await stream.readExactly(4 + PORT_BYTES, remainingWait(wait));
  else if (type === ADDRESS_IPV6) await stream.readExactly(16 + PORT_BYTES, remainingWait(wait));
  else if (type === ADDRESS_NAME) {
    const [length = 0] = await stream.readExactly(1, remainingWait(wait));
    await stream.readExactly(length + PORT_BYTES, remainingWait(wait));
  } else throw new ProxyRefusal("EPROTO", `the proxy answered with an address of type ${type}, required 1, 3 or 4`);
}
