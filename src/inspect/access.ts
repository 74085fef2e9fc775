// Checks the requests to the server of the inspector. A request needs the token, and its headers Host and Origin must
// name this server.
//
// A page of another site can send requests to 127.0.0.1. That page does not have the token, and the browser sends that
// site as the Origin. If the site has made its own name resolve to 127.0.0.1 (DNS rebinding), the Host is that name.
//
// The token is a parameter, or the first folder of the path. It is not a cookie, because a browser sends the cookies of
// a host to all of its ports (RFC 6265, section 8.5), also to the ports of other programs.

import type { IncomingMessage } from "node:http";

import { crypto } from "../builtins.js";

/** The hosts that a request may name. */
const HOSTS: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** The target of a request. */
export interface Target {
  /** The host and port, if the target is a whole URL. They replace the header Host. */
  readonly host: string | undefined;
  readonly path: string;
  readonly query: URLSearchParams;
}

/** Reads the target of a request line. `new URL()` is not used, because it would change paths such as `//`. */
export function readTarget(text: string): Target {
  // Clients send a whole URL to a proxy, and a server must accept it too (RFC 9112, section 3.2.2).
  const [, host, rest = ""] = /^(?:http:\/\/([^/?#]*))?([^#]*)/i.exec(text) ?? [];
  const at = rest.indexOf("?");
  const path = at < 0 ? rest : rest.slice(0, at);
  return { host, path: path === "" ? "/" : path, query: new URLSearchParams(at < 0 ? "" : rest.slice(at)) };
}

export class Access {
  readonly token: string = crypto().randomBytes(24).toString("base64url");
  readonly #digest: Buffer = digest(this.token);
  #port = 0;

  /** The port of the server, set when it listens. */
  set port(port: number) {
    this.#port = port;
  }

  /** The path of a request, without the token; undefined if the request is refused. */
  allowedPath({ headers }: IncomingMessage, { host = headers.host, path, query }: Target): string | undefined {
    if (!this.#isOurHost(host)) return undefined;
    const { origin } = headers;
    if (origin !== undefined && !this.#isOurOrigin(origin)) return undefined;
    // The browser states that a page of another origin has made the request.
    const site = headers["sec-fetch-site"];
    if (site === "cross-site" || site === "same-site") return undefined;
    const [, folder = "", rest = ""] = /^\/([^/]*)(.*)$/s.exec(path) ?? [];
    if (this.#isToken(folder)) return rest === "" ? "/" : rest;
    return this.#isToken(query.get("token")) ? path : undefined;
  }

  #isOurOrigin(origin: string): boolean {
    return origin.startsWith("http://") && this.#isOurHost(origin.slice("http://".length));
  }

  /** Whether a Host names this server. A Host without a port means port 80. */
  #isOurHost(host: string | undefined): boolean {
    const [, name = "", port = "80"] = /^(.*?)(?::(\d{1,5}))?$/.exec(host ?? "") ?? [];
    return HOSTS.has(name.toLowerCase()) && Number(port) === this.#port;
  }

  /** Compares in constant time. The digests have the same length, which timingSafeEqual() requires. */
  #isToken(text: string | null): boolean {
    return text !== null && crypto().timingSafeEqual(digest(text), this.#digest);
  }
}

const digest = (text: string): Buffer => crypto().createHash("sha256").update(text).digest();
