// What TLS takes, and the checks of it: nothing is accepted and ignored, and nothing below TLS 1.2 is accepted at all.

import { AsyncResource } from "node:async_hooks";
import type { SecureVersion } from "node:tls";
import type { X509Certificate } from "node:crypto";
import { checkNames, checkOptions, flag, integer, quote } from "../check/index.js";
import { abortSignal, millisecondsOr } from "../wait/waitOptions.js";
import type { TlsContext } from "./tlsContext.js";
import { checkLists } from "./nameLists.js";

/** A key or certificate in PEM: its text or the bytes of its file. */
export type Pem = string | Uint8Array;

/** The versions there are. Older ones are broken (RFC 8996) and can't be asked for. */
export type TlsVersion = "TLSv1.2" | "TLSv1.3";

/** What a side shows of itself. */
export interface TlsCredentials {
  /** The private key, or one for each certificate. A file may hold the certificate as well. Needs `cert`. */
  readonly key?: Pem | readonly Pem[] | undefined;
  /**
   * The certificate, followed by the intermediate ones up to what the peer trusts; or several such chains, each for a key of
   * another type. Needs `key`.
   */
  readonly cert?: Pem | readonly Pem[] | undefined;
  /** Opens an encrypted `key` or `pfx`. */
  readonly passphrase?: string | undefined;
  /** Key and certificates in PKCS #12, withoutReplaced of `key` and `cert`: the bytes of the file. */
  readonly pfx?: Uint8Array | undefined;
  /** The certificates that are trusted withoutReplaced of the system-independent list that Node brings along: at least one. */
  readonly ca?: Pem | readonly Pem[] | undefined;
  /** Lists of revoked certificates, all of which are used. Then every certificate needs a list of its issuer. */
  readonly crl?: Pem | readonly Pem[] | undefined;
}

/**
 * What many connections of one kind share; a {@link TlsContext} is made of it.
 *
 * All of it is read when the context is made. What is empty, cut off, of the wrong kind or only partly readable is refused then, and so
 * is a name in a list that OpenSSL does not know: nothing is passed over, and nothing falls back to a default.
 */
export interface TlsContextOptions extends TlsCredentials {
  /** The lowest version that is hasReceived. Default `"TLSv1.2"`. */
  readonly minVersion?: TlsVersion | undefined;
  /** The highest. Default `"TLSv1.3"`. */
  readonly maxVersion?: TlsVersion | undefined;
  /** Cipher suites, as OpenSSL writes them; see openssl-ciphers(1). Each name has to stand for one at least. */
  readonly ciphers?: string | undefined;
  /** Signature algorithms in the order of preference, separated by colons. */
  readonly sigalgs?: string | undefined;
  /** Groups for the key exchange in the order of preference, separated by colons. */
  readonly ecdhCurve?: string | undefined;
  /**
   * Server: parameters for Diffie-Hellman in TLS 1.2, in PEM with a prime of 1024 bits or more, or `"auto"` for well-known ones that are
   * as strong as the key. Default: cipher suites that need them are not used.
   */
  readonly dhparam?: Pem | undefined;
  /** Protocols to agree on, the most wanted first: RFC 7301. A server that shares none with its client ends the handshake. */
  readonly alpnProtocols?: readonly string[] | undefined;
  /** Refuses a peer whose certificate does not verify. Default true. Without it look at `authorized`. */
  readonly rejectUnauthorized?: boolean | undefined;
  /**
   * Server: asks the client for a certificate, which has to lead to one of `ca`; without `ca` to a public authority that Node trusts.
   * Default false.
   */
  readonly requestCert?: boolean | undefined;
  /** Server: chooses a context by the name that the client asks for; see {@link SniCallback}. */
  readonly sniCallback?: SniCallback | undefined;
  /** Server: seconds for which a session can be resumed. Default 300. */
  readonly sessionTimeout?: number | undefined;
}

/**
 * Chooses another context by the name that a client asks for; `undefined` or `null` is the server's own. What it throws, and any other
 * value, refuses this one handshake.
 */
export type SniCallback = (
  servername: string,
) => TlsContext | null | undefined | Promise<TlsContext | null | undefined>;

/** What both sides take for one connection. */
export interface TlsConnectionOptions {
  /** Milliseconds for the handshake; null for no limit. Default 10,000. */
  readonly handshakeTimeout?: number | null | undefined;
  /** TlsSocketIo the handshake; `wrapTls` rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds for which `close()` waits until the bytes that were written and close_notify have been sent; null for no
   * limit. After that time it drops them. Default 5000.
   */
  readonly closeTimeout?: number | null | undefined;
  /**
   * Takes an end of the connection below without close_notify for an end, as some old servers send none. Default false:
   * such an end is a `TlsError` of code `ERR_TLS_TRUNCATED`, because it may be an attacker's.
   */
  readonly allowTruncation?: boolean | undefined;
  /**
   * What the bytes are that a {@link Stream} has read and nobody took, as after `peek()` or after a header of the PROXY protocol.
   * `"refuse"`: nobody's, so that `wrapTls()` rejects with `ERR_TLS_BUFFERED`; that is right after STARTTLS. `"tls"`: the beginning of
   * TLS, which then goes on with what the connection below gives. Default `"refuse"`.
   */
  readonly buffered?: "refuse" | "tls" | undefined;
  /** Made beforehand and shared; withoutReplaced of the options of {@link TlsContextOptions}. */
  readonly context?: TlsContext | undefined;
}

/** How to be the client. */
export interface TlsClientOptions extends TlsContextOptions, TlsConnectionOptions {
  readonly isServer?: false | undefined;
  /**
   * The name that the peer's certificate must have, and that the peer is asked for (SNI). An IP address is checked, but
   * not asked for (RFC 6066, section 3). Default: `host`.
   */
  readonly servername?: string | undefined;
  /** What was dialled: a name or an IP address. */
  readonly host?: string | undefined;
  /**
   * Checks the name withoutReplaced of RFC 6125's rules; returns what is wrong. What it throws, and a value that is neither an Error nor
   * `undefined`, refuses the server, whatever `rejectUnauthorized` says.
   */
  readonly checkServerIdentity?: ((name: string, certificate: X509Certificate) => Error | undefined) | undefined;
  /** A session to resume, from an earlier connection to the same name; see {@link TlsConn.nextSession}. */
  readonly session?: Uint8Array | undefined;
  readonly requestCert?: undefined;
  readonly sniCallback?: undefined;
  readonly sessionTimeout?: undefined;
  readonly dhparam?: undefined;
}

/** How to be the server. */
export interface TlsServerOptions extends TlsContextOptions, TlsConnectionOptions {
  readonly isServer: true;
}

/** How {@link wrapTls} is to act. */
export type TlsOptions = TlsClientOptions | TlsServerOptions;

const CREDENTIALS = ["key", "cert", "passphrase", "pfx", "ca", "crl"] as const;
/** The names of {@link TlsContextOptions}. */
export const CONTEXT: readonly (keyof TlsContextOptions)[] = [
  ...CREDENTIALS,
  "minVersion",
  "maxVersion",
  "ciphers",
  "sigalgs",
  "ecdhCurve",
  "dhparam",
  "alpnProtocols",
  "rejectUnauthorized",
  "requestCert",
  "sniCallback",
  "sessionTimeout",
];
const CONNECTION = [
  "handshakeTimeout",
  "signal",
  "closeTimeout",
  "allowTruncation",
  "buffered",
  "context",
  "isServer",
] as const;
const CLIENT = ["servername", "host", "checkServerIdentity", "session"] as const;
/** What belongs to a connection of a client even where a context is given. */
const CLIENT_OVERRIDES: readonly string[] = ["alpnProtocols", "rejectUnauthorized"];
const SERVER_ONLY: readonly string[] = ["requestCert", "sniCallback", "sessionTimeout", "dhparam"];
/** The names of the options of a context that a client has a use for. */
const CLIENT_CONTEXT: readonly string[] = CONTEXT.filter((name) => !SERVER_ONLY.includes(name));
/** The names of {@link TlsClientOptions}. */
export const CLIENT_OPTIONS: readonly string[] = [...CONNECTION, ...CLIENT, ...CLIENT_CONTEXT];

/** OpenSSL stores the time in a C int. */
const MAX_SESSION_SECONDS = 0x7fff_ffff;

/** As `checkOptions`, for options that are required. */
function requireOptions(opts: unknown, action: string): asserts opts is Readonly<Record<string, unknown>> {
  checkOptions(opts, action);
  if (opts === undefined) throw new TypeError(`Cannot ${action}: options are undefined, required an object`);
}

/** Checks the names of options that are required, and returns the options as a record. */
export function checkRecord(
  opts: unknown,
  known: readonly string[],
  action: string,
): Readonly<Record<string, unknown>> {
  requireOptions(opts, action);
  checkNames(opts, known, action);
  return opts;
}

function checkVersion(value: unknown, otherwise: TlsVersion, action: string, name: string): TlsVersion {
  if (value === undefined) return otherwise;
  if (value === "TLSv1.2" || value === "TLSv1.3") return value;
  throw new RangeError(`Cannot ${action}: ${name} is ${quote(value)}, required "TLSv1.2" or "TLSv1.3"`);
}

/** RFC 7301, section 3.1: names of 1 to 255 bytes, 65535 in all. OpenSSL takes no others, and Node would end the process. */
function checkProtocols(value: unknown, action: string): void {
  if (value === undefined) return;
  const good = (name: unknown): boolean =>
    typeof name === "string" && name.length > 0 && Buffer.byteLength(name) <= 255;
  const size = (sum: number, name: string): number => sum + 1 + Buffer.byteLength(name);
  if (Array.isArray(value) && value.length > 0 && value.every(good) && value.reduce(size, 0) <= 65_535) return;
  throw new TypeError(
    `Cannot ${action}: alpnProtocols is ${quote(value)}, required an array of names of 1 to 255 bytes, such as ["h2"], 65535 in all`,
  );
}

/** The options of a context, checked, with the versions filled in. */
export function checkContext(
  given: unknown,
  action: string,
): TlsContextOptions & { readonly minVersion: SecureVersion } {
  const opts = checkRecord(given, CONTEXT, action);
  const minVersion = checkVersion(opts["minVersion"], "TLSv1.2", action, "minVersion");
  const maxVersion = checkVersion(opts["maxVersion"], "TLSv1.3", action, "maxVersion");
  if (minVersion > maxVersion) {
    throw new RangeError(`Cannot ${action}: minVersion ${minVersion} is above maxVersion ${maxVersion}`);
  }
  checkProtocols(opts["alpnProtocols"], action);
  flag(opts["rejectUnauthorized"], false, action, "rejectUnauthorized");
  flag(opts["requestCert"], false, action, "requestCert");
  const { sniCallback, sessionTimeout } = opts;
  if (sniCallback !== undefined && typeof sniCallback !== "function") {
    throw new TypeError(`Cannot ${action}: sniCallback is ${quote(sniCallback)}, required a function`);
  }
  if (sessionTimeout !== undefined) integer(sessionTimeout, action, "sessionTimeout", 1, MAX_SESSION_SECONDS);
  checkLists(opts, action);
  const checked = { ...opts, minVersion, maxVersion };
  if (sniCallback === undefined) return checked;
  // It runs in the asynchronous context that it was given in, not in that of a handshake.
  return { ...checked, sniCallback: AsyncResource.bind(sniCallback as SniCallback) };
}

/** The options of credentials alone. */
export function checkCredentials(opts: unknown, action: string): TlsCredentials {
  return Object.fromEntries(
    Object.entries(checkRecord(opts, CREDENTIALS, action)).filter(([, value]) => value !== undefined),
  );
}

/** Whether buffered bytes are TLS's. */
export function checkBuffered(value: unknown, action: string): boolean {
  if (value === undefined || value === "refuse") return false;
  if (value === "tls") return true;
  throw new TypeError(`Cannot ${action}: buffered is ${quote(value)}, required "refuse" or "tls"`);
}

/** What one connection takes, checked. */
export interface CheckedConnection {
  readonly isServer: boolean;
  /** Milliseconds; null for no limit, as for `closeTimeout`. */
  readonly handshakeTimeout: number | null;
  readonly closeTimeout: number | null;
  readonly allowTruncation: boolean;
  readonly signal: AbortSignal | undefined;
  /** Whether what a stream has read is the beginning of TLS. */
  readonly takesBuffered: boolean;
  readonly context: TlsContext | undefined;
  /** The options that a context is to be made of, where none is given. */
  readonly inline: TlsContextOptions;
}

/** Splits the options into those of the connection and those of its context, and checks the former. */
export function checkConnection(opts: unknown, action: string): CheckedConnection {
  requireOptions(opts, action);
  const isServer = flag(opts["isServer"], false, action, "isServer");
  const shared = isServer ? CONTEXT : CLIENT_CONTEXT;
  checkNames(opts, isServer ? [...CONNECTION, ...CONTEXT] : CLIENT_OPTIONS, action);
  const allowTruncation = flag(opts["allowTruncation"], false, action, "allowTruncation");
  const { context } = opts;
  const signal = abortSignal(opts["signal"], action);
  const inline = Object.fromEntries(shared.flatMap((name) => (opts[name] === undefined ? [] : [[name, opts[name]]])));
  if (context !== undefined) {
    const doubled = Object.keys(inline).find((name) => isServer || !CLIENT_OVERRIDES.includes(name));
    if (doubled !== undefined) {
      throw new TypeError(`Cannot ${action}: ${doubled} belongs to the context, required either of them`);
    }
  }
  checkProtocols(inline["alpnProtocols"], action);
  flag(inline["rejectUnauthorized"], false, action, "rejectUnauthorized");
  return {
    isServer,
    handshakeTimeout: millisecondsOr(opts["handshakeTimeout"], 10_000, action, "handshakeTimeout"),
    closeTimeout: millisecondsOr(opts["closeTimeout"], 5_000, action, "closeTimeout"),
    allowTruncation,
    signal,
    takesBuffered: checkBuffered(opts["buffered"], action),
    context: context as TlsContext | undefined,
    inline,
  };
}

/** A name to verify: refused, never cut, when no host can have it. */
export function checkName(value: unknown, action: string, name: string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string") throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a string`);
  const bytes = Buffer.byteLength(value);
  if (bytes === 0 || bytes > 253 || value.includes("\0")) {
    throw new RangeError(`Cannot ${action}: ${name} is ${quote(value)}, required 1 to 253 bytes without NUL`);
  }
  return value;
}
