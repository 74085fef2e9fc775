// The argument and the options that the commands echo, discard, chargen, daytime and chat have in common.

import type { ArgumentSpec, OptionSpec } from "../frame/command.js";
import { flag, option, optionWithDefault } from "../frame/command.js";
import { TLS_SERVER_OPTIONS, type TlsServerOptions } from "../frame/tlsOptions.js";
import { duration, wholeNumber } from "../frame/values.js";

export const WHERE_TO_LISTEN: ArgumentSpec = {
  name: "ENDPOINT",
  about:
    "where to listen: tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT, unix:PATH, unix:@NAME, vsock://CID:PORT, or " +
    "a port alone, which is on 127.0.0.1; with port 0 the kernel chooses a port; *:PORT listens on all interfaces",
};

// A type alias: an interface has no implicit index signature, so `Record<string, OptionSpec>` would refuse it.
export type ServerOptions = TlsServerOptions & {
  readonly udp: OptionSpec<boolean>;
  readonly max: OptionSpec<number>;
  readonly idle: OptionSpec<number | undefined>;
  readonly count: OptionSpec<number | undefined>;
};

export const SERVER_OPTIONS: ServerOptions = {
  udp: flag("-u, --udp", "datagrams of UDP; the same as the scheme udp://"),
  max: optionWithDefault(
    "--max N",
    "connections at a time; others wait in the kernel's queue",
    wholeNumber(1, 100_000),
    1000,
  ),
  idle: option("--idle TIME", "end a connection after this time without data", duration),
  count: option("--count N", "end after this number of connections, or of datagrams", wholeNumber(1, 1e9)),
  ...TLS_SERVER_OPTIONS,
};
