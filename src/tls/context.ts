// What many connections share: keys, certificates, versions. It can be reloaded while it is in use.
//
// Node parses certificates and makes an SSL_CTX for each context, which costs about as much as a handshake, so a server
// makes one and keeps it. The server side is a tls.Server that never listens: connections are put into it, because it is
// Node's own place for the checks of client certificates, for SNI, tickets, and for replacing the certificate.

import { constants, randomBytes } from "node:crypto";
import tls from "node:tls";
import { TlsError } from "../errors.js";
import { checkContext, checkCredentials, type TlsContextOptions, type TlsCredentials } from "./options.js";

/** Of internal use: what a context is to Node. */
export interface NodeContext {
  readonly options: TlsContextOptions;
  secureContext(): tls.SecureContext;
  server(): tls.Server;
}

/** Under this symbol, which is the same in every copy of the package, a context gives its inside. */
const INSIDE = Symbol.for("berkeley.TlsContext");

/** The inside of a context, of this copy or of another: all of it is Node's. */
export function nodeContext(context: TlsContext): NodeContext {
  return (context as unknown as { readonly [INSIDE]: NodeContext })[INSIDE];
}

/** Whether a value is a context, of this copy or of another. */
export function isTlsContext(value: unknown): value is TlsContext {
  return typeof value === "object" && value !== null && INSIDE in value;
}

/**
 * Keys, certificates and settings that many connections share, on either side.
 *
 * `reload()` puts a new certificate in place while connections go on: handshakes that begin later use it. Sessions of
 * before can still be resumed.
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
  #secureContext: tls.SecureContext | undefined;
  #server: tls.Server | undefined;
  /** Kept over a reload, so that tickets stay good. */
  readonly #ticketKeys = randomBytes(48);

  /**
   * @throws TlsError for a key or certificate that can't be used, with OpenSSL's code
   * @throws TypeError or RangeError for an option that is wrong
   */
  constructor(options: TlsContextOptions = {}) {
    this.#options = checkContext(options, "make a TlsContext");
    this.#secureContext = this.#make(this.#options, "Cannot make a TlsContext");
  }

  /**
   * Replaces the credentials that are given and keeps the others. When they can't be used it throws, and the old ones stay.
   *
   * @throws TlsError, TypeError as the constructor
   */
  reload(credentials: TlsCredentials): void {
    const options = { ...this.#options, ...checkCredentials(credentials, "reload a TlsContext") };
    this.#secureContext = this.#make(options, "Cannot reload a TlsContext");
    this.#options = options;
    this.#server?.setSecureContext(this.#native(options));
  }

  #make(options: TlsContextOptions, action: string): tls.SecureContext {
    try {
      return tls.createSecureContext(this.#native(options));
    } catch (error) {
      const { code, message, reason } = error as { code?: unknown; message: string; reason?: unknown };
      if (typeof code !== "string" || code.startsWith("ERR_INVALID_ARG")) throw error;
      throw new TlsError(code, action, typeof reason === "string" ? reason : message, { cause: error });
    }
  }

  #native(options: TlsContextOptions): tls.SecureContextOptions & tls.TlsOptions {
    const { key, cert, passphrase, pfx, ca, crl, minVersion, maxVersion, ciphers, sigalgs, ecdhCurve, sessionTimeout } =
      options;
    const given = {
      key,
      cert,
      passphrase,
      pfx,
      ca,
      crl,
      minVersion,
      maxVersion,
      ciphers,
      sigalgs,
      ecdhCurve,
      sessionTimeout,
    };
    const set = Object.entries(given).filter(([, value]) => value !== undefined);
    // A peer can ask for handshakes again and again, which costs it next to nothing; nobody else has a use for them.
    return {
      ...Object.fromEntries(set),
      ticketKeys: this.#ticketKeys,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    };
  }

  #startServer(): tls.Server {
    const { alpnProtocols, requestCert = false, rejectUnauthorized = true, sniCallback } = this.#options;
    return tls.createServer({
      ...this.#native(this.#options),
      requestCert,
      rejectUnauthorized,
      // There is a timer of our own, with a name of its own; this one can't be switched off.
      handshakeTimeout: 0x7fff_ffff,
      ...(alpnProtocols === undefined ? {} : { ALPNProtocols: [...alpnProtocols] }),
      ...(sniCallback === undefined
        ? {}
        : {
            SNICallback: (
              servername: string,
              done: (error: Error | null, context?: tls.SecureContext) => void,
            ): void => {
              const choose = (context: TlsContext | undefined): void =>
                done(null, context === undefined ? undefined : nodeContext(context).secureContext());
              try {
                const chosen = sniCallback(servername);
                if (chosen instanceof Promise) chosen.then(choose, done);
                else choose(chosen);
              } catch (error) {
                done(error as Error);
              }
            },
          }),
    });
  }

  static {
    const inside = (context: TlsContext): NodeContext => ({
      options: context.#options,
      secureContext: () => context.#secureContext as tls.SecureContext,
      server: () => (context.#server ??= context.#startServer()),
    });
    Object.defineProperty(TlsContext.prototype, INSIDE, {
      get(this: TlsContext): NodeContext {
        return inside(this);
      },
    });
  }
}

/** Refuses a context that has nothing to show of itself, which no server can do without. */
export function checkCertificate(context: TlsContext, action: string): void {
  const { cert, pfx, sniCallback } = nodeContext(context).options;
  if (cert !== undefined || pfx !== undefined || sniCallback !== undefined) return;
  throw new TypeError(
    `Cannot ${action}: a server has no certificate, required cert and key, pfx, or a context with them`,
  );
}
