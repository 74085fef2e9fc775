// The connection of a file transfer: connects to the peer, or accepts one connection.

import { connect, listen, type Stream } from "berkeley";

import { readEndpoint } from "../frame/endpoints.js";
import type { Output } from "../frame/output.js";
import { clientTls, type TlsOptionValues, serverTls } from "../frame/tlsOptions.js";
import { announce } from "../servers/serve.js";
import { withUsageErrors } from "../talk/open.js";

export interface ConnectionPlan {
  readonly endpoint: string;
  /** Whether the command listens and accepts one connection. Otherwise it connects. */
  readonly listens: boolean;
  readonly output: Output;
  readonly signal: AbortSignal;
  readonly options: TlsOptionValues & { readonly timeout: number };
}

export async function openConnection({ endpoint, listens, output, signal, options }: ConnectionPlan): Promise<Stream> {
  const { timeout } = options;
  const schemes = ["tcp", "tls", "unix", "vsock"] as const;
  const found = readEndpoint(endpoint, {
    name: listens ? "ENDPOINT" : "TO",
    scheme: options.tls ? "tls" : "tcp",
    schemes,
  });
  const target = options.tls && found.scheme === "tcp" ? ({ ...found, scheme: "tls" } as const) : found;
  const usesTls = target.scheme === "tls";
  if (!listens) {
    const tls = clientTls(options, usesTls);
    return withUsageErrors(() => connect(target, { signal, timeout, ...(tls === undefined ? {} : { tls }) }));
  }
  // These two options are only for clients.
  const { insecure: _, servername: __, ...serverOptions } = options;
  const tls = await serverTls(serverOptions, usesTls, output);
  const onHandshakeError = (error: unknown): void => output.problem(error, "handshake");
  const listener = await withUsageErrors(() =>
    listen(target, tls === undefined ? {} : { tls: { ...tls, onHandshakeError } }),
  );
  announce(output, target.scheme, listener.address);
  try {
    return await listener.accept({ signal, timeout });
  } finally {
    await listener.close();
  }
}
