// Who may talk to the server of the inspector: the Host and Origin of this machine, and the token.
//
// A page of another site can send requests to 127.0.0.1. It can't know the token, its Origin is its own, and if it has
// made its own name resolve to 127.0.0.1 (DNS rebinding), the Host is that name.

import type { IncomingMessage } from "node:http";

import { crypto } from "../builtins.js";

const NAMES: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);

export class Access {
  readonly token: string = crypto().randomBytes(24).toString("base64url");
  readonly #digest: Buffer = digest(this.token);
  #port = 0;

  /** The port of the server, once it listens. */
  set port(value: number) {
    this.#port = value;
  }

  /** Cookies are the same for all ports of a host, so the name has the port. */
  get cookieName(): string {
    return `berkeley-inspect-${this.#port}`;
  }

  get cookie(): string {
    return `${this.cookieName}=${this.token}; HttpOnly; SameSite=Strict; Path=/`;
  }

  /** Whether the request comes from this machine's user; `query` are the parameters of its URL. */
  allows({ headers }: IncomingMessage, query: URLSearchParams): boolean {
    if (!this.#isOurs(headers.host)) return false;
    const { origin } = headers;
    if (origin !== undefined && !(origin.startsWith("http://") && this.#isOurs(origin.slice("http://".length))))
      return false;
    const site = headers["sec-fetch-site"];
    if (site === "cross-site" || site === "same-site") return false;
    return this.#isToken(query.get("token")) || this.#isToken(this.#cookieOf(headers.cookie));
  }

  #isOurs(host: string | undefined): boolean {
    const match = /^(.*):(\d{1,5})$/.exec(host ?? "");
    return match !== null && NAMES.has(match[1]!.toLowerCase()) && Number(match[2]) === this.#port;
  }

  #cookieOf(text: string | undefined): string | null {
    const start = `${this.cookieName}=`;
    const found = text
      ?.split(";")
      .map((part) => part.trim())
      .find((part) => part.startsWith(start));
    return found === undefined ? null : found.slice(start.length);
  }

  /** Compares digests, whose length does not depend on the text, in constant time. */
  #isToken(text: string | null): boolean {
    return text !== null && crypto().timingSafeEqual(digest(text), this.#digest);
  }
}

const digest = (text: string): Buffer => crypto().createHash("sha256").update(text).digest();
