// Endpoints as a user types them. The library parses and checks them. This file adds short forms: `PORT` and `:PORT`
// are ports of the loopback interface, `HOST:PORT` is TCP (or the default scheme of the command), `*:PORT` is the port
// on all interfaces, and a path with a slash or `@NAME` is a UNIX socket.

import { type Endpoint, formatEndpoint, InetAddress, Inet6Address, parseEndpoint, UnixAddress } from "berkeley";

import { UsageError } from "./failure.js";
import { didYouMean } from "./suggest.js";

export const SCHEMES: readonly string[] = ["tcp", "tls", "udp", "unix", "vsock", "fd", "systemd"];

export interface EndpointOptions {
  /** The name of the argument in error messages. Default `ENDPOINT`. */
  readonly name?: string;
  /** The scheme of a text that has none. Default `tcp`. */
  readonly scheme?: "tcp" | "tls" | "udp";
  /** The schemes that the command supports. Default: all. */
  readonly schemes?: readonly Endpoint["scheme"][];
}

/** The scheme of a text that has none, by the options --udp and --tls. */
export function defaultScheme({ udp, tls }: { readonly udp: boolean; readonly tls: boolean }): "tcp" | "tls" | "udp" {
  if (udp) return "udp";
  return tls ? "tls" : "tcp";
}

/**
 * Parses an endpoint.
 *
 * @throws UsageError that quotes the text and says what is required
 */
export function readEndpoint(text: string, options: EndpointOptions = {}): Endpoint {
  const { name = "ENDPOINT", scheme = "tcp", schemes } = options;
  const endpoint = parseText(text, name, scheme);
  if (schemes === undefined || schemes.includes(endpoint.scheme)) return endpoint;
  throw new UsageError(
    `${name} is ${JSON.stringify(text)}, an endpoint of ${endpoint.scheme}, required one of ${schemes.join(", ")}`,
  );
}

function parseText(text: string, name: string, fallbackScheme: "tcp" | "tls" | "udp"): Endpoint {
  const wildcard = /^(?:(tcp|tls|udp):\/\/)?\*:(\d{1,5})$/.exec(text);
  try {
    if (wildcard !== null) {
      const [, scheme = fallbackScheme, port] = wildcard;
      return parseEndpoint({ scheme: scheme as "tcp", host: "", port: Number(port) });
    }
    return parseEndpoint(withScheme(text, fallbackScheme));
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    // The scheme that the user typed, which may be misspelled.
    const [, givenScheme = ""] = /^([\w+.-]+):(?:\/\/|[/@])/.exec(text) ?? [];
    const suggestion = givenScheme === "" || SCHEMES.includes(givenScheme) ? "" : didYouMean(givenScheme, SCHEMES);
    // Removes `Cannot …"TEXT"…: `, because the usage error itself quotes the text.
    const reason = error.message.replace(/^Cannot [^:]*?"(?:[^"\\]|\\.)*"[^:]*: /, "");
    throw new UsageError(`${name} is ${JSON.stringify(text)}: ${reason}${suggestion}`);
  }
}

/** Replaces a short form by the whole endpoint. */
function withScheme(text: string, scheme: string): string {
  if (/^:?\d{1,5}$/.test(text)) return `${scheme}://127.0.0.1:${text.replace(":", "")}`;
  if (/^(?:fd|systemd|unix):/.test(text) || text.includes("://")) return text;
  if (text.startsWith("@") || (text.includes("/") && !/^[\w+.-]+:/.test(text))) return `unix:${text}`;
  return `${scheme}://${text}`;
}

/**
 * Whether only this machine can connect to a listener on this endpoint: true for loopback addresses and UNIX sockets.
 * False for an inherited socket, because its address is not known yet.
 */
export function isLocal(endpoint: Endpoint): boolean {
  if (endpoint.scheme === "unix") return true;
  if (endpoint.scheme === "fd" || endpoint.scheme === "systemd") return false;
  const { address } = endpoint;
  if (address instanceof InetAddress) return address.host.startsWith("127.");
  if (address instanceof Inet6Address) return address.host === "::1" || address.host.startsWith("::ffff:127.");
  return "host" in address && address.host === "localhost";
}

/** Formats an endpoint. {@link readEndpoint} can parse the result, unless the address is unknown or has no name. */
export function showEndpoint(scheme: Endpoint["scheme"], address: object | undefined): string {
  if (address === undefined) return `${scheme}:`;
  if (address instanceof UnixAddress) return address.path === "" ? "unix: (unnamed)" : String(address);
  return formatEndpoint({ scheme, address } as Endpoint);
}
