// TlsContext: the keys, certificates and settings that many connections share. It can be reloaded while it is in use.
//
// For each context, Node parses certificates and makes an SSL_CTX. That costs about as much as a handshake. So a server
// makes one context and keeps it.
//
// Node implements client certificates, SNI, tickets and the replacement of certificates in tls.Server. So a server's
// context has a tls.Server that never listens, and handshake.ts passes connections to it.

import type tls from "node:tls";
import { isPromise } from "node:util/types";
import { crypto, tls as nodeTls } from "../builtins.js";
import { quoteSecret } from "../check/index.js";
import { TlsError } from "../errors/index.js";
import { MAX_TIMER_DELAY } from "../wait/waitOptions.js";
import { type NodeCredentials, readCredentials, codeAndReason } from "./credentials.js";
import { callbackError } from "./nodeError.js";
import {
  checkContext,
  checkCredentials,
  type SniCallback,
  type TlsContextOptions,
  type TlsCredentials,
} from "./tlsOptions.js";

/** The options of a context, and the objects of Node that are made from them. */
export interface NodeContext {
  readonly options: TlsContextOptions;
  /** Returns the context of the latest credentials, for a client or for the result of `sniCallback`. */
  secureContext(): tls.SecureContext;
  /** Returns the server that never listens. The first call makes it. */
  server(): tls.Server;
}

/** The key of the `NodeContext`. A symbol of `Symbol.for()` is the same in every copy of the package. */
const NODE_CONTEXT = Symbol.for("berkeley.TlsContext");

/** The `NodeContext` of a context. The context may be of another copy of the package. */
export function nodeContext(context: TlsContext): NodeContext {
  return (context as unknown as { readonly [NODE_CONTEXT]: NodeContext })[NODE_CONTEXT];
}

/** Whether a value is a context of this copy of the package or of another one. */
export function isTlsContext(value: unknown): value is TlsContext {
  return typeof value === "object" && value !== null && NODE_CONTEXT in value;
}

/**
 * Keys, certificates and settings that many connections share, as clients or as servers.
 *
 * `reload()` replaces credentials. Open connections continue, later handshakes use the new credentials, and earlier
 * sessions can still be resumed.
 *
 * The constructor reads all credentials and checks that they match; see {@link TlsContextOptions}.
 *
 * @see RFC 8446
 * @example
 * ```ts no-run
 * import { readFileSync } from "node:fs";
 * import { TlsContext } from "berkeley";
 *
 * const read = () => ({ cert: readFileSync("server.pem"), key: readFileSync("server.key") });
 * const context = new TlsContext({ ...read(), alpnProtocols: ["h2", "http/1.1"] });
 * process.on("SIGHUP", () => context.reload(read()));
 * ```
 */
export class TlsContext {
  #options: TlsContextOptions;
  #nodeCredentials: NodeCredentials;
  #secureContext: tls.SecureContext | undefined;
  #server: tls.Server | undefined;
  /** The keys of session tickets, 48 bytes as Node requires. reload() keeps them, so that tickets stay valid. */
  readonly #ticketKeys = crypto().randomBytes(48);

  /**
   * @throws TlsError for a key, a certificate or a list of names that can't be used, with OpenSSL's code, or
   *   `ERR_TLS_CONTEXT` if OpenSSL has none
   * @throws TypeError or RangeError for an option that is wrong
   */
  constructor(options: TlsContextOptions = {}) {
    const action = "make a TlsContext";
    this.#options = checkContext(options, action);
    this.#nodeCredentials = readCredentials(this.#options, action);
    this.#secureContext = this.#createSecureContext(this.#nodeOptions(this.#options, this.#nodeCredentials), action);
  }

  /**
   * Replaces the given credentials and keeps the others. `pfx` also replaces `key` and `cert`; `key` and `cert` also
   * replace `pfx`. If the call throws, the old credentials stay.
   *
   * @throws TlsError, TypeError as in the constructor
   */
  reload(credentials: TlsCredentials): void {
    const action = "reload a TlsContext";
    const given = checkCredentials(credentials, action);
    const options = { ...withoutReplaced(this.#options, given), ...given };
    const nodeCredentials = readCredentials(options, action);
    const nodeOptions = this.#nodeOptions(options, nodeCredentials);
    this.#secureContext = this.#createSecureContext(nodeOptions, action);
    this.#options = options;
    this.#nodeCredentials = nodeCredentials;
    this.#server?.setSecureContext(nodeOptions);
  }

  #createSecureContext(nodeOptions: tls.SecureContextOptions, action: string): tls.SecureContext {
    try {
      return nodeTls().createSecureContext(nodeOptions);
    } catch (error) {
      const { code, reason } = codeAndReason(error);
      throw new TlsError(code, `Cannot ${action}`, reason, { cause: error });
    }
  }

  /** The options of Node for a context and for a server. */
  #nodeOptions(options: TlsContextOptions, credentials: NodeCredentials): tls.SecureContextOptions & tls.TlsOptions {
    const { minVersion, maxVersion, ciphers, sigalgs, ecdhCurve, sessionTimeout } = options;
    const shared = { minVersion, maxVersion, ciphers, sigalgs, ecdhCurve, sessionTimeout };
    const definedEntries = Object.entries(shared).filter(([, value]) => value !== undefined);
    return {
      ...Object.fromEntries(definedEntries),
      ...credentials,
      ticketKeys: this.#ticketKeys,
      // A renegotiation costs the peer almost nothing, and this side an expensive handshake.
      secureOptions: crypto().constants.SSL_OP_NO_RENEGOTIATION,
    };
  }

  #createServer(): tls.Server {
    const { alpnProtocols, requestCert = false, rejectUnauthorized = true, sniCallback } = this.#options;
    return nodeTls().createServer({
      ...this.#nodeOptions(this.#options, this.#nodeCredentials),
      requestCert,
      rejectUnauthorized,
      // handshake.ts has its own timer. Node's timer can't be disabled, so it gets the longest time.
      handshakeTimeout: MAX_TIMER_DELAY,
      ...(alpnProtocols === undefined ? {} : { ALPNProtocols: [...alpnProtocols] }),
      ...(sniCallback === undefined
        ? {}
        : {
            SNICallback: (servername: string, done: (error: Error | null, context?: tls.SecureContext) => void): void =>
              runSniCallback(sniCallback, servername, done),
          }),
    });
  }

  static {
    const makeNodeContext = (context: TlsContext): NodeContext => ({
      options: context.#options,
      secureContext: () => context.#secureContext as tls.SecureContext,
      server: () => (context.#server ??= context.#createServer()),
    });
    Object.defineProperty(TlsContext.prototype, NODE_CONTEXT, {
      get(this: TlsContext): NodeContext {
        return makeNodeContext(this);
      },
    });
  }
}

/** The options without those that `given` replaces. */
function withoutReplaced(options: TlsContextOptions, given: TlsCredentials): TlsContextOptions {
  if (given.pfx !== undefined) return { ...options, key: undefined, cert: undefined };
  return given.key === undefined && given.cert === undefined ? options : { ...options, pfx: undefined };
}

/** Calls `sniCallback`, and passes the chosen context to Node. A wrong choice or an error fails only this handshake. */
function runSniCallback(
  sniCallback: SniCallback,
  servername: string,
  done: (error: Error | null, context?: tls.SecureContext) => void,
): void {
  const passContext = (chosen: unknown): void => {
    let context: tls.SecureContext | undefined;
    try {
      context = secureContextOf(chosen);
    } catch (error) {
      done(error as Error);
      return;
    }
    done(null, context);
  };
  const passError = (thrown: unknown): void => done(callbackError(thrown, "sniCallback"));
  let result: unknown;
  try {
    result = sniCallback(servername);
  } catch (error) {
    passError(error);
    return;
  }
  if (isPromise(result)) void Promise.resolve(result).then(passContext, passError);
  else passContext(result);
}

/** Checks the result of `sniCallback`, and returns its context for Node; undefined selects the server's own context. */
function secureContextOf(chosen: unknown): tls.SecureContext | undefined {
  if (chosen === undefined || chosen === null) return undefined;
  const action = "choose a context by name";
  if (!isTlsContext(chosen)) {
    throw new TypeError(
      `Cannot ${action}: the result of sniCallback is ${quoteSecret(chosen)}, required a TlsContext, undefined ` +
        "or null, or a Promise of one",
    );
  }
  const context = nodeContext(chosen);
  const { options } = context;
  if (options.cert === undefined && options.pfx === undefined) {
    throw new TypeError(
      `Cannot ${action}: the result of sniCallback is a TlsContext without a certificate, required one with cert ` +
        "and key",
    );
  }
  return context.secureContext();
}

/** Throws if a server's context has neither a certificate nor an `sniCallback`. */
export function requireCertificate(context: TlsContext, action: string): void {
  const { cert, pfx, sniCallback } = nodeContext(context).options;
  if (cert !== undefined || pfx !== undefined || sniCallback !== undefined) return;
  throw new TypeError(
    `Cannot ${action}: a server has no certificate, required cert and key, pfx, or a context with them`,
  );
}
