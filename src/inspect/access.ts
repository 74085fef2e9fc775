// Who may talk to the server of the inspector: the Host and Origin of this machine, and the token.
//
// A page of another site can send requests to 127.0.0.1. It can't know the token, its Origin is its own, and if it has
// made its own name resolve to 127.0.0.1 (DNS rebinding), the Host is that name.
//
// The token is a parameter, or the first folder of the path. It is no cookie: a browser sends the cookies of a host to
// the servers on all of its ports (RFC 6265, section 8.5), and those belong to other programs.

import type { IncomingMessage } from "node:http";

import { crypto } from "../builtins.js";

const NAMES: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** What a request asks for. */
export interface Target {
  /** The host of a target that is a whole URL. It counts instead of the header. */
  readonly host: string | undefined;
  readonly path: string;
  readonly query: URLSearchParams;
}

/** The target of a request line. A path is no URL: `//` is a path, and it stays as it was sent. */
export function readTarget(text: string): Target {
  // A proxy gets a whole URL (RFC 9112, section 3.2.2); a server must accept it too.
  const [, host, rest = ""] = /^(?:http:\/\/([^/?#]*))?([^#]*)/i.exec(text) ?? [];
  const at = rest.indexOf("?");
  const path = at < 0 ? rest : rest.slice(0, at);
  return { host, path: path === "" ? "/" : path, query: new URLSearchParams(at < 0 ? "" : rest.slice(at)) };
}

export class Access {
  readonly token: string = crypto().randomBytes(24).toString("base64url");
  readonly #digest: Buffer = digest(this.token);
  #port = 0;

  /** The port of the server, once it listens. */
  set port(value: number) {
    this.#port = value;
  }

  /** The path of a request without the token; undefined if the request is refused. */
  pathOf({ headers }: IncomingMessage, { host = headers.host, path, query }: Target): string | undefined {
    if (!this.#isOurs(host)) return undefined;
    const { origin } = headers;
    if (origin !== undefined && !(origin.startsWith("http://") && this.#isOurs(origin.slice("http://".length))))
      return undefined;
    const site = headers["sec-fetch-site"];
    if (site === "cross-site" || site === "same-site") return undefined;
    const [, folder = "", rest = ""] = /^\/([^/]*)(.*)$/s.exec(path) ?? [];
    if (this.#isToken(folder)) return rest === "" ? "/" : rest;
    return this.#isToken(query.get("token")) ? path : undefined;
  }

  /** Without a port, a Host is that of port 80. */
  #isOurs(host: string | undefined): boolean {
    const [, name = "", port = "80"] = /^(.*?)(?::(\d{1,5}))?$/.exec(host ?? "") ?? [];
    return NAMES.has(name.toLowerCase()) && Number(port) === this.#port;
  }

  /** Compares digests, whose length does not depend on the text, in constant time. */
  #isToken(text: string | null): boolean {
    return text !== null && crypto().timingSafeEqual(digest(text), this.#digest);
  }
}

const digest = (text: string): Buffer => crypto().createHash("sha256").update(text).digest();
