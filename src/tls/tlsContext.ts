// TlsContext: the keys, certificates and settings that many connections share. It can be reloaded while it is in use.
//
// For each context, Node parses certificates and makes an SSL_CTX. That costs about as much as a handshake, so a server
// makes one context and keeps it. The server side is a tls.Server that never listens. Connections are passed to it,
// because Node implements client certificates, SNI, tickets and the replacement of certificates there.

import type tls from "node:tls";
import { isPromise } from "node:util/types";
import { crypto, tls as nodeTls } from "../builtins.js";
import { quoteSecret } from "../check/index.js";
import { TlsError } from "../errors/index.js";
import { LONGEST_TIMER } from "../wait/waitOptions.js";
import { type Material, readMaterial, describeNodeError } from "./credentials.js";
import { callbackError } from "./nodeError.js";
import {
  checkContext,
  checkCredentials,
  type SniCallback,
  type TlsContextOptions,
  type TlsCredentials,
} from "./tlsOptions.js";

/** The objects of Node that belong to a context. */
export interface NodeContext {
  readonly options: TlsContextOptions;
  secureContext(): tls.SecureContext;
  server(): tls.Server;
}

/** The key of the `NativeContext`. `Symbol.for`, because it is the same in every copy of the package. */
const NODE_CONTEXT = Symbol.for("berkeley.TlsContext");

/** The objects of Node of a context, which may be of another copy of the package. */
export function nodeContext(context: TlsContext): NodeContext {
  return (context as unknown as { readonly [NODE_CONTEXT]: NodeContext })[NODE_CONTEXT];
}

/** Whether a value is a context of this copy of the package or of another one. */
export function isTlsContext(value: unknown): value is TlsContext {
  return typeof value === "object" && value !== null && NODE_CONTEXT in value;
}

/**
 * Keys, certificates and settings that many connections share, on either side.
 *
 * `reload()` replaces the certificate. Open connections continue, later handshakes use the new one, and earlier
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
  #material: Material;
  #secureContext: tls.SecureContext | undefined;
  #server: tls.Server | undefined;
  /** The same after a reload, so that tickets stay valid. */
  readonly #ticketKeys = crypto().randomBytes(48);

  /**
   * @throws TlsError for a key, a certificate or a list of names that can't be used, with OpenSSL's code, or
   *   `ERR_TLS_CONTEXT` if OpenSSL has none
   * @throws TypeError or RangeError for an option that is wrong
   */
  constructor(options: TlsContextOptions = {}) {
    const action = "make a TlsContext";
    this.#options = checkContext(options, action);
    this.#material = readMaterial(this.#options, action);
    this.#secureContext = this.#make(this.#native(this.#options, this.#material), action);
  }

  /**
   * Replaces the given credentials and keeps the others. `pfx` replaces `key` and `cert`, and they replace `pfx`. If it
   * throws, the old credentials stay.
   *
   * @throws TlsError, TypeError as in the constructor
   */
  reload(credentials: TlsCredentials): void {
    const action = "reload a TlsContext";
    const given = checkCredentials(credentials, action);
    const options = { ...withoutReplaced(this.#options, given), ...given };
    const material = readMaterial(options, action);
    const native = this.#native(options, material);
    this.#secureContext = this.#make(native, action);
    this.#options = options;
    this.#material = material;
    this.#server?.setSecureContext(native);
  }

  #make(native: tls.SecureContextOptions, action: string): tls.SecureContext {
    try {
      return nodeTls().createSecureContext(native);
    } catch (error) {
      const { code, reason } = describeNodeError(error);
      throw new TlsError(code, `Cannot ${action}`, reason, { cause: error });
    }
  }

  #native(options: TlsContextOptions, material: Material): tls.SecureContextOptions & tls.TlsOptions {
    const { minVersion, maxVersion, ciphers, sigalgs, ecdhCurve, sessionTimeout } = options;
    const given = {
      minVersion,
      maxVersion,
      ciphers,
      sigalgs,
      ecdhCurve,
      sessionTimeout,
    };
    const set = Object.entries(given).filter(([, value]) => value !== undefined);
    // No renegotiation: a peer could request expensive handshakes at almost no cost.
    return {
      ...Object.fromEntries(set),
      ...material,
      ticketKeys: this.#ticketKeys,
      secureOptions: crypto().constants.SSL_OP_NO_RENEGOTIATION,
    };
  }

  #startServer(): tls.Server {
    const { alpnProtocols, requestCert = false, rejectUnauthorized = true, sniCallback } = this.#options;
    return nodeTls().createServer({
      ...this.#native(this.#options, this.#material),
      requestCert,
      rejectUnauthorized,
      // Node can't switch this timer off. The handshake has a timer of its own.
      handshakeTimeout: LONGEST_TIMER,
      ...(alpnProtocols === undefined ? {} : { ALPNProtocols: [...alpnProtocols] }),
      ...(sniCallback === undefined
        ? {}
        : {
            SNICallback: (servername: string, done: (error: Error | null, context?: tls.SecureContext) => void): void =>
              choose(sniCallback, servername, done),
          }),
    });
  }

  static {
    const inside = (context: TlsContext): NodeContext => ({
      options: context.#options,
      secureContext: () => context.#secureContext as tls.SecureContext,
      server: () => (context.#server ??= context.#startServer()),
    });
    Object.defineProperty(TlsContext.prototype, NODE_CONTEXT, {
      get(this: TlsContext): NodeContext {
        return inside(this);
      },
    });
  }
}

/** The options without those that `given` replaces. */
function withoutReplaced(options: TlsContextOptions, given: TlsCredentials): TlsContextOptions {
  if (given.pfx !== undefined) return { ...options, key: undefined, cert: undefined };
  return given.key === undefined && given.cert === undefined ? options : { ...options, pfx: undefined };
}

/** Passes the choice of `sniCallback` to Node. A wrong choice or an error fails only this handshake. */
function choose(
  sniCallback: SniCallback,
  servername: string,
  done: (error: Error | null, context?: tls.SecureContext) => void,
): void {
  const answer = (chosen: unknown): void => {
    let context: tls.SecureContext | undefined;
    try {
      context = chosenContext(chosen);
    } catch (error) {
      done(error as Error);
      return;
    }
    done(null, context);
  };
  const refuse = (thrown: unknown): void => done(callbackError(thrown, "sniCallback"));
  let chosen: unknown;
  try {
    chosen = sniCallback(servername);
  } catch (error) {
    refuse(error);
    return;
  }
  if (isPromise(chosen)) void Promise.resolve(chosen).then(answer, refuse);
  else answer(chosen);
}

function chosenContext(chosen: unknown): tls.SecureContext | undefined {
  if (chosen === undefined || chosen === null) return undefined;
  const action = "choose a context by name";
  if (!(chosen instanceof TlsContext)) {
    throw new TypeError(
      `Cannot ${action}: the result of sniCallback is ${quoteSecret(chosen)}, required a TlsContext, undefined or null, or a Promise of one`,
    );
  }
  const inner = nodeContext(chosen);
  const { options } = inner;
  if (options.cert === undefined && options.pfx === undefined) {
    throw new TypeError(
      `Cannot ${action}: the result of sniCallback is a TlsContext without a certificate, required one with cert and key`,
    );
  }
  return inner.secureContext();
}

/** Refuses a context without a certificate, for a server. */
export function checkCertificate(context: TlsContext, action: string): void {
  const { cert, pfx, sniCallback } = nodeContext(context).options;
  if (cert !== undefined || pfx !== undefined || sniCallback !== undefined) return;
  throw new TypeError(
    `Cannot ${action}: a server has no certificate, required cert and key, pfx, or a context with them`,
  );
}
