// The options of TlsListener, its counters, and the fields that describe it.

import { AsyncResource } from "node:async_hooks";
import type { Address } from "../addr/index.js";
import { flag, integer, quote } from "../check/index.js";
import type { Description } from "../registry/index.js";
import { millisecondsOr } from "../wait/waitOptions.js";
import { requireCertificate, isTlsContext, TlsContext } from "./tlsContext.js";
import { checkBuffered, requireKnownOptions, type TlsContextOptions } from "./tlsOptions.js";
import { checkServerSupport } from "./transport.js";

/** Options of {@link TlsListener}. */
export interface TlsListenerOptions {
  /** The server's keys and certificates, or a context with them, which can be reloaded. */
  readonly tls: TlsContext | TlsContextOptions;
  /** Milliseconds for each handshake; null for no limit. Default 10,000. */
  readonly handshakeTimeout?: number | null | undefined;
  /**
   * Maximum number of connections that are in a handshake, or ready and not accepted. At the maximum, a new
   * connection replaces the oldest client that has sent nothing (see `silenceTimeout`). If there is no such client, the
   * new connection waits. Default 256.
   */
  readonly maxHandshakes?: number | undefined;
  /**
   * Milliseconds after which a client that has sent nothing can be dropped for a new connection; null for
   * never. Default 100.
   */
  readonly silenceTimeout?: number | null | undefined;
  /** See {@link TlsConnectionOptions.buffered}. For listeners whose streams may have read bytes already. */
  readonly buffered?: "refuse" | "tls" | undefined;
  /** See {@link TlsConnectionOptions.closeTimeout}. */
  readonly closeTimeout?: number | null | undefined;
  /** See {@link TlsConnectionOptions.allowTruncation}. */
  readonly allowTruncation?: boolean | undefined;
  /**
   * Called for each failed handshake, because a mistake of a client is no error of `accept()`. If the callback throws,
   * the process emits a warning, and the listener continues.
   */
  readonly onHandshakeError?: ((error: unknown, remoteAddress: Address | undefined) => void) | undefined;
}

/** The counters of a {@link TlsListener}. */
export interface TlsListenerStats {
  /** Connections that `accept()` has returned. */
  readonly accepted: number;
  /** Connections whose handshake runs. */
  readonly handshakes: number;
  /** Connections whose handshake has succeeded, and that no `accept()` has returned yet. */
  readonly ready: number;
  /** Handshakes that have failed, without those of dropped clients. */
  readonly failed: number;
  /** Silent clients that were dropped for another client. */
  readonly dropped: number;
}

/** The fields of a {@link TlsListener} in JSON. */
export interface TlsListenerDescription extends Description {
  readonly kind: "TlsListener";
  readonly state: "listening" | "closed";
  readonly local: string | null;
  readonly pending: readonly string[];
  readonly stats: TlsListenerStats;
}

type HandshakeErrorListener = NonNullable<TlsListenerOptions["onHandshakeError"]>;

/** `TlsListenerOptions`, checked. */
export interface CheckedListener extends TlsListenerOptions {
  readonly tls: TlsContext;
  readonly maxHandshakes: number;
  /** Milliseconds; null if silent clients are never dropped. */
  readonly silenceTimeout: number | null;
}

const OPTIONS = [
  "tls",
  "handshakeTimeout",
  "maxHandshakes",
  "silenceTimeout",
  "buffered",
  "closeTimeout",
  "allowTruncation",
  "onHandshakeError",
] as const;

/** The names of all options of a {@link TlsListener} except `tls`. */
export const HANDSHAKE_OPTIONS: readonly string[] = OPTIONS.slice(1);

/** Checks the options of a listener. */
export function checkTlsListener(given: unknown, action: string): CheckedListener {
  checkServerSupport(action);
  const opts = requireKnownOptions(given, OPTIONS, action);
  const { tls, maxHandshakes: givenMax = 256, onHandshakeError } = opts;
  const maxHandshakes = integer(givenMax, action, "maxHandshakes", 1, Number.MAX_SAFE_INTEGER);
  const silenceTimeout = millisecondsOr(opts["silenceTimeout"], 100, action, "silenceTimeout");
  // These four options are only checked here, and the defaults in these calls have no effect. prepareTls() reads the
  // options again and fills in their defaults.
  millisecondsOr(opts["handshakeTimeout"], null, action, "handshakeTimeout");
  checkBuffered(opts["buffered"], action);
  millisecondsOr(opts["closeTimeout"], null, action, "closeTimeout");
  flag(opts["allowTruncation"], false, action, "allowTruncation");
  if (onHandshakeError !== undefined && typeof onHandshakeError !== "function") {
    throw new TypeError(`Cannot ${action}: onHandshakeError is ${quote(onHandshakeError)}, required a function`);
  }
  const context = isTlsContext(tls) ? tls : new TlsContext(tls as TlsContextOptions);
  requireCertificate(context, action);
  const checked = {
    ...(opts as Omit<TlsListenerOptions, "tls">),
    tls: context,
    maxHandshakes,
    silenceTimeout,
  };
  if (onHandshakeError === undefined) return checked;
  // The callback runs in the asynchronous context of the constructor, not in that of an accept().
  return { ...checked, onHandshakeError: AsyncResource.bind(onHandshakeError as HandshakeErrorListener) };
}
