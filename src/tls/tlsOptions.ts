// The options of TLS and their checks. An option that does not apply is refused. TLS 1.2 is the minimum version.

import { AsyncResource } from "node:async_hooks";
import type { SecureVersion } from "node:tls";
import type { X509Certificate } from "node:crypto";
import { checkNames, checkOptions, flag, integer, quote } from "../check/index.js";
import { abortSignal, millisecondsOr } from "../wait/waitOptions.js";
import type { TlsContext } from "./tlsContext.js";
import { checkNameLists } from "./nameLists.js";

/** A key or certificate in PEM: its text or the bytes of its file. */
export type Pem = string | Uint8Array;

/** The supported versions. Older versions are insecure (RFC 8996). */
export type TlsVersion = "TLSv1.2" | "TLSv1.3";

/** The credentials of one side, and the certificates that it trusts. */
export interface TlsCredentials {
  /** The private key, or one for each certificate. The PEM may also contain the certificate. Requires `cert`. */
  readonly key?: Pem | readonly Pem[] | undefined;
  /**
   * The certificate and then the intermediate certificates, or an array of such chains, each for a key of another type.
   * Requires `key`.
   */
  readonly cert?: Pem | readonly Pem[] | undefined;
  /** Decrypts `key` or `pfx`. */
  readonly passphrase?: string | undefined;
  /** The bytes of a PKCS #12 file with key and certificates. It replaces `key` and `cert`. */
  readonly pfx?: Uint8Array | undefined;
  /** The trusted certificates, at least one. Default: the list that Node contains. */
  readonly ca?: Pem | readonly Pem[] | undefined;
  /** Certificate revocation lists. Each certificate of the peer then requires a list of its issuer. */
  readonly crl?: Pem | readonly Pem[] | undefined;
}

/**
 * Options of a {@link TlsContext}, which many connections can share.
 *
 * The constructor reads all of them. It refuses input that is empty, truncated, of the wrong kind or partly damaged,
 * and names that OpenSSL does not support.
 */
export interface TlsContextOptions extends TlsCredentials {
  /** The minimum version. Default `"TLSv1.2"`. */
  readonly minVersion?: TlsVersion | undefined;
  /** The maximum version. Default `"TLSv1.3"`. */
  readonly maxVersion?: TlsVersion | undefined;
  /** Cipher suites in the syntax of openssl-ciphers(1). OpenSSL must support each name. */
  readonly ciphers?: string | undefined;
  /** Signature algorithms in the order of preference, separated by colons. */
  readonly sigalgs?: string | undefined;
  /** Groups for the key exchange in the order of preference, separated by colons. */
  readonly ecdhCurve?: string | undefined;
  /**
   * Server: Diffie-Hellman parameters for TLS 1.2, in PEM with a prime of at least 1024 bits, or `"auto"` for
   * well-known parameters as strong as the key. By default there are none, and cipher suites that require them are not
   * used.
   */
  readonly dhparam?: Pem | undefined;
  /**
   * Protocols for ALPN (RFC 7301), the preferred one first. The handshake fails if server and client have none in
   * common.
   */
  readonly alpnProtocols?: readonly string[] | undefined;
  /** Refuses a peer without a valid certificate. Default true. If false, check `authorized`. */
  readonly rejectUnauthorized?: boolean | undefined;
  /**
   * Server: requests a certificate of the client. One of `ca` must have issued it, directly or through intermediate
   * certificates; without `ca`, an authority that Node trusts. Default false.
   */
  readonly requestCert?: boolean | undefined;
  /** Server: chooses a context by the server name of the client (SNI); see {@link SniCallback}. */
  readonly sniCallback?: SniCallback | undefined;
  /** Server: seconds for which a session can be resumed. Default 300. */
  readonly sessionTimeout?: number | undefined;
}

/**
 * Chooses a context by the server name of the client (SNI). `undefined` or `null` selects the server's own context.
 * An error, or any other result, fails this handshake only.
 */
export type SniCallback = (
  servername: string,
) => TlsContext | null | undefined | Promise<TlsContext | null | undefined>;

/** Options of one connection, for clients and servers. */
export interface TlsConnectionOptions {
  /** Milliseconds for the handshake; null for no limit. Default 10,000. */
  readonly handshakeTimeout?: number | null | undefined;
  /** Ends the handshake; `wrapTls` rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds for which `close()` waits until the written bytes and close_notify are sent; null for no limit. After
   * that time it discards the unsent bytes. Default 5000.
   */
  readonly closeTimeout?: number | null | undefined;
  /**
   * Accepts an end of the connection below without close_notify, which some old servers do not send. Default false:
   * such an end is a `TlsError` of code `ERR_TLS_TRUNCATED`, because an attacker may have caused it.
   */
  readonly allowTruncation?: boolean | undefined;
  /**
   * What happens if a {@link Stream} has read bytes ahead, as after `peek()` or after a header of the PROXY protocol.
   * `"refuse"`, the correct value after STARTTLS: `wrapTls()` rejects with `ERR_TLS_BUFFERED`. `"tls"`: the bytes are
   * the first bytes of TLS. Default `"refuse"`.
   */
  readonly buffered?: "refuse" | "tls" | undefined;
  /** A context, which connections can share. It replaces the options of {@link TlsContextOptions}. */
  readonly context?: TlsContext | undefined;
}

/** Options of a client. */
export interface TlsClientOptions extends TlsContextOptions, TlsConnectionOptions {
  readonly isServer?: false | undefined;
  /**
   * The name that the peer's certificate must have. It is also sent as the server name (SNI), unless it is an IP
   * address (RFC 6066, section 3). Default: `host`.
   */
  readonly servername?: string | undefined;
  /** The host of the connection: a name or an IP address. */
  readonly host?: string | undefined;
  /**
   * Checks the certificate in place of the rules of RFC 6125. It returns `undefined`, or an Error that refuses the
   * certificate. If it throws or returns another value, the handshake fails even if `rejectUnauthorized` is false.
   */
  readonly checkServerIdentity?: ((name: string, certificate: X509Certificate) => Error | undefined) | undefined;
  /** A session to resume, from an earlier connection to the same name; see {@link TlsConn.nextSession}. */
  readonly session?: Uint8Array | undefined;
  readonly requestCert?: undefined;
  readonly sniCallback?: undefined;
  readonly sessionTimeout?: undefined;
  readonly dhparam?: undefined;
}

/** Options of a server. */
export interface TlsServerOptions extends TlsContextOptions, TlsConnectionOptions {
  readonly isServer: true;
}

/** Options of {@link wrapTls}. */
export type TlsOptions = TlsClientOptions | TlsServerOptions;

const CREDENTIAL_OPTIONS = ["key", "cert", "passphrase", "pfx", "ca", "crl"] as const;
/** The names of {@link TlsContextOptions}. */
export const CONTEXT_OPTIONS: readonly (keyof TlsContextOptions)[] = [
  ...CREDENTIAL_OPTIONS,
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
const CONNECTION_OPTIONS = [
  "handshakeTimeout",
  "signal",
  "closeTimeout",
  "allowTruncation",
  "buffered",
  "context",
  "isServer",
] as const;
const CLIENT_ONLY = ["servername", "host", "checkServerIdentity", "session"] as const;
/** Options of a context that a client may also pass together with `context`, for one connection. */
const CLIENT_OVERRIDES: readonly string[] = ["alpnProtocols", "rejectUnauthorized"];
const SERVER_ONLY: readonly string[] = ["requestCert", "sniCallback", "sessionTimeout", "dhparam"];
/** The names of the options of a context that apply to clients. */
const CLIENT_CONTEXT_OPTIONS: readonly string[] = CONTEXT_OPTIONS.filter((name) => !SERVER_ONLY.includes(name));
/** The names of {@link TlsClientOptions}. */
export const CLIENT_OPTIONS: readonly string[] = [...CONNECTION_OPTIONS, ...CLIENT_ONLY, ...CLIENT_CONTEXT_OPTIONS];

/** The maximum of `sessionTimeout`, because OpenSSL stores it in a C int. */
const MAX_SESSION_SECONDS = 0x7fff_ffff;

/** Refuses undefined, and a value that is no object. */
function requireOptions(opts: unknown, action: string): asserts opts is Readonly<Record<string, unknown>> {
  checkOptions(opts, action);
  if (opts === undefined) throw new TypeError(`Cannot ${action}: options are undefined, required an object`);
}

/** Refuses undefined, a value that is no object, and names that are not in `known`. Returns the options. */
export function requireKnownOptions(
  opts: unknown,
  known: readonly string[],
  action: string,
): Readonly<Record<string, unknown>> {
  requireOptions(opts, action);
  checkNames(opts, known, action);
  return opts;
}

function checkVersion(value: unknown, defaultVersion: TlsVersion, action: string, name: string): TlsVersion {
  if (value === undefined) return defaultVersion;
  if (value === "TLSv1.2" || value === "TLSv1.3") return value;
  throw new RangeError(`Cannot ${action}: ${name} is ${quote(value)}, required "TLSv1.2" or "TLSv1.3"`);
}

/**
 * Checks names of protocols: each has 1 to 255 bytes, and the list has at most 65535 (RFC 7301, section 3.1). For other
 * names, Node would end the process.
 */
function checkProtocols(value: unknown, action: string): void {
  if (value === undefined) return;
  const isValidName = (name: unknown): boolean =>
    typeof name === "string" && name.length > 0 && Buffer.byteLength(name) <= 255;
  // In the extension of ALPN, each name comes after one byte, which has the length of the name.
  const addSize = (sum: number, name: string): number => sum + 1 + Buffer.byteLength(name);
  const areValidNames = Array.isArray(value) && value.length > 0 && value.every(isValidName);
  if (areValidNames && value.reduce(addSize, 0) <= 65_535) return;
  throw new TypeError(
    `Cannot ${action}: alpnProtocols is ${quote(value)}, required an array of names of 1 to 255 bytes, such as ` +
      `["h2"], and at most 65535 bytes in all`,
  );
}

/** Checks the options of a context, except credentials. Returns them with the default versions filled in. */
export function checkContext(
  given: unknown,
  action: string,
): TlsContextOptions & { readonly minVersion: SecureVersion } {
  const opts = requireKnownOptions(given, CONTEXT_OPTIONS, action);
  const minVersion = checkVersion(opts["minVersion"], "TLSv1.2", action, "minVersion");
  const maxVersion = checkVersion(opts["maxVersion"], "TLSv1.3", action, "maxVersion");
  if (minVersion > maxVersion) {
    throw new RangeError(
      `Cannot ${action}: minVersion is ${quote(minVersion)}, required at most maxVersion, which is ` +
        quote(maxVersion),
    );
  }
  checkProtocols(opts["alpnProtocols"], action);
  // Only the types are checked. The defaults in these calls have no effect.
  flag(opts["rejectUnauthorized"], true, action, "rejectUnauthorized");
  flag(opts["requestCert"], false, action, "requestCert");
  const { sniCallback, sessionTimeout } = opts;
  if (sniCallback !== undefined && typeof sniCallback !== "function") {
    throw new TypeError(`Cannot ${action}: sniCallback is ${quote(sniCallback)}, required a function`);
  }
  if (sessionTimeout !== undefined) integer(sessionTimeout, action, "sessionTimeout", 1, MAX_SESSION_SECONDS);
  checkNameLists(opts, action);
  const checked = { ...opts, minVersion, maxVersion };
  if (sniCallback === undefined) return checked;
  // The callback runs in the asynchronous context of the constructor, not in that of a handshake.
  return { ...checked, sniCallback: AsyncResource.bind(sniCallback as SniCallback) };
}

/** Refuses options that are no credentials. Returns the options that are not undefined. */
export function checkCredentials(opts: unknown, action: string): TlsCredentials {
  return Object.fromEntries(
    Object.entries(requireKnownOptions(opts, CREDENTIAL_OPTIONS, action)).filter(([, value]) => value !== undefined),
  );
}

/** Checks the option `buffered`. Returns whether buffered bytes are the first bytes of TLS. */
export function checkBuffered(value: unknown, action: string): boolean {
  if (value === undefined || value === "refuse") return false;
  if (value === "tls") return true;
  throw new TypeError(`Cannot ${action}: buffered is ${quote(value)}, required "refuse" or "tls"`);
}

/** The options of one connection, checked. */
export interface CheckedConnection {
  readonly isServer: boolean;
  /** Milliseconds; null for no limit. */
  readonly handshakeTimeout: number | null;
  /** Milliseconds; null for no limit. */
  readonly closeTimeout: number | null;
  readonly allowTruncation: boolean;
  readonly signal: AbortSignal | undefined;
  /** Whether bytes that a stream has read ahead are the first bytes of TLS. */
  readonly takesBuffered: boolean;
  readonly context: TlsContext | undefined;
  /**
   * The options of a context that were passed beside those of the connection. Together with `context`, only some of
   * them are allowed.
   */
  readonly contextOptions: TlsContextOptions;
}

/** Checks the options of a connection, and separates those of its context, which prepareTls() checks. */
export function checkConnection(opts: unknown, action: string): CheckedConnection {
  requireOptions(opts, action);
  const isServer = flag(opts["isServer"], false, action, "isServer");
  const contextNames = isServer ? CONTEXT_OPTIONS : CLIENT_CONTEXT_OPTIONS;
  checkNames(opts, isServer ? [...CONNECTION_OPTIONS, ...CONTEXT_OPTIONS] : CLIENT_OPTIONS, action);
  const allowTruncation = flag(opts["allowTruncation"], false, action, "allowTruncation");
  const { context } = opts;
  const signal = abortSignal(opts["signal"], action);
  const contextOptions = Object.fromEntries(
    contextNames.flatMap((name) => (opts[name] === undefined ? [] : [[name, opts[name]]])),
  );
  if (context !== undefined) {
    const refused = Object.keys(contextOptions).find((name) => isServer || !CLIENT_OVERRIDES.includes(name));
    if (refused !== undefined) {
      throw new TypeError(`Cannot ${action}: ${refused} belongs to the context, required either ${refused} or context`);
    }
  }
  checkProtocols(contextOptions["alpnProtocols"], action);
  // Only the type is checked. The default in this call has no effect.
  flag(contextOptions["rejectUnauthorized"], true, action, "rejectUnauthorized");
  return {
    isServer,
    handshakeTimeout: millisecondsOr(opts["handshakeTimeout"], 10_000, action, "handshakeTimeout"),
    closeTimeout: millisecondsOr(opts["closeTimeout"], 5_000, action, "closeTimeout"),
    allowTruncation,
    signal,
    takesBuffered: checkBuffered(opts["buffered"], action),
    context: context as TlsContext | undefined,
    contextOptions,
  };
}

/** Returns `value` if it is undefined, or text that can be the name of a host. Throws for other values. */
export function checkHostName(value: unknown, action: string, name: string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string") throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a string`);
  const bytes = Buffer.byteLength(value);
  if (bytes === 0 || bytes > 253 || value.includes("\0")) {
    throw new RangeError(`Cannot ${action}: ${name} is ${quote(value)}, required 1 to 253 bytes without NUL`);
  }
  return value;
}
