// The options of TLS, for clients and for servers, and the files that they name.

import { readFileSync } from "node:fs";

import type { ListenOptions, TlsConnectOptions } from "berkeley";

import { flag, list, option, type OptionSpec } from "./command.js";
import { UsageError } from "./failure.js";
import type { Output } from "./output.js";
import { file, text } from "./values.js";

type TlsListenOptions = NonNullable<ListenOptions["tls"]>;

/** The values of `--tls` and of the other options of TLS. Only clients have `insecure` and `servername`. */
export interface TlsOptionValues {
  readonly tls: boolean;
  readonly ca: readonly string[];
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly alpn: readonly string[];
  readonly allowTruncation: boolean;
  readonly insecure?: boolean;
  readonly servername?: string | undefined;
}

// Type aliases: an interface has no implicit index signature, so `Record<string, OptionSpec>` would refuse it.
export type TlsServerOptions = {
  readonly tls: OptionSpec<boolean>;
  readonly ca: OptionSpec<readonly string[]>;
  readonly cert: OptionSpec<string | undefined>;
  readonly key: OptionSpec<string | undefined>;
  readonly alpn: OptionSpec<readonly string[]>;
  readonly allowTruncation: OptionSpec<boolean>;
};

export type TlsClientOptions = TlsServerOptions & {
  readonly insecure: OptionSpec<boolean>;
  readonly servername: OptionSpec<string | undefined>;
};

export const TLS_SERVER_OPTIONS: TlsServerOptions = {
  tls: flag("--tls", "use TLS; the same as the scheme tls://"),
  ca: list("--ca FILE", "require clients to show a certificate of an authority in this file", file),
  cert: option("--cert FILE", "the certificate and its chain, in PEM; default: a self-signed certificate", file),
  key: option("--key FILE", "the key of the certificate, in PEM; default: the file of --cert", file),
  alpn: list("--alpn NAME", "a protocol that is offered, such as h2 (ALPN)", text),
  allowTruncation: flag(
    "--allow-truncation",
    "treat the end of the connection as the end of TLS: ncat and others send no close_notify",
  ),
};

export const TLS_CLIENT_OPTIONS: TlsClientOptions = {
  ...TLS_SERVER_OPTIONS,
  ca: list("--ca FILE", "trust only the authorities in this file, in PEM", file),
  cert: option("--cert FILE", "the certificate of the client and its chain, in PEM", file),
  insecure: flag("--insecure", "do not verify the certificate of the server"),
  servername: option("--servername NAME", "the name that the certificate must have, and that is sent (SNI)", text),
};

/** Reads the file at `path`. `name` is the option, for the error. */
export function loadFile(name: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`${name} is ${JSON.stringify(path)}, which can't be read: ${(error as Error).message}`);
  }
}

/** The options that a client and a server have in common. Reads the files. */
function commonTls({ ca, cert, key, alpn, allowTruncation }: TlsOptionValues): Partial<TlsConnectOptions> {
  if (key !== undefined && cert === undefined) throw new UsageError("--key is given without --cert");
  return {
    ...(ca.length === 0 ? {} : { ca: ca.map((path) => loadFile("--ca", path)) }),
    ...(cert === undefined ? {} : { cert: loadFile("--cert", cert), key: loadFile("--key", key ?? cert) }),
    ...(alpn.length === 0 ? {} : { alpnProtocols: alpn }),
    ...(allowTruncation ? { allowTruncation } : {}),
  };
}

/**
 * The options of a TLS client. `secure` is whether the endpoint uses TLS. If the endpoint does not, the result is
 * undefined, and a given option of TLS is an error.
 */
export function clientTls(given: TlsOptionValues, secure: boolean): TlsConnectOptions | undefined {
  if (!secure) return refuseTlsOptions(given);
  const { insecure = false, servername } = given;
  return {
    ...commonTls(given),
    ...(insecure ? { rejectUnauthorized: false } : {}),
    ...(servername === undefined ? {} : { servername }),
  };
}

/**
 * The options of a TLS server; `secure` is as in clientTls(). Without `--cert` the server gets a self-signed
 * certificate. The fingerprint of this certificate is printed, so that a client can compare it.
 */
export async function serverTls(
  given: TlsOptionValues,
  secure: boolean,
  output: Output,
): Promise<TlsListenOptions | undefined> {
  if (!secure) return refuseTlsOptions(given);
  const { ca } = given;
  const clientAuth = ca.length === 0 ? {} : { requestCert: true, rejectUnauthorized: true };
  const options = { ...commonTls(given), ...clientAuth };
  if (given.cert !== undefined) return options;
  const { selfSigned } = await import("./selfSigned.js");
  const { cert, key, fingerprint } = selfSigned();
  output.note(`no --cert is given: the certificate is self-signed, with the SHA-256 fingerprint ${fingerprint}`, {
    event: "certificate",
    fingerprint,
  });
  return { ...options, cert, key };
}

/** Throws if an option of TLS is given, except `--tls`. Otherwise returns undefined: no TLS. */
function refuseTlsOptions(given: TlsOptionValues): undefined {
  const { ca, cert, key, alpn, allowTruncation, insecure = false, servername } = given;
  const givenOption = Object.entries({
    "--ca": ca.length > 0,
    "--cert": cert !== undefined,
    "--key": key !== undefined,
    "--alpn": alpn.length > 0,
    "--allow-truncation": allowTruncation,
    "--insecure": insecure,
    "--servername": servername !== undefined,
  }).find(([, isGiven]) => isGiven);
  if (givenOption !== undefined) throw new UsageError(`${givenOption[0]} is given without --tls or a tls:// endpoint`);
  return undefined;
}
