// The endpoint of `connect`, `listen` and `send`, combined with --udp, --tls, --datagram and --seqpacket.

import { type AddressLike, type Endpoint, parseAddress } from "berkeley";

import { defaultScheme, readEndpoint } from "../frame/endpoints.js";
import { UsageError } from "../frame/failure.js";
import { type GivenOption, readSocketOption } from "../frame/socketOptions.js";
import type { MessageType } from "./channel.js";
import type { TalkValues } from "./options.js";

export interface Target {
  readonly endpoint: Endpoint;
  /** The type of a UNIX message socket; undefined for a stream and for UDP. */
  readonly messageType: MessageType | undefined;
  /** Whether TLS is used. */
  readonly secure: boolean;
  /** The socket options of --option. */
  readonly options: readonly GivenOption[];
}

type TargetValues = Pick<TalkValues, "udp" | "datagram" | "seqpacket" | "option"> & { readonly tls: boolean };

export async function readTarget(text: string, options: TargetValues): Promise<Target> {
  const { udp, datagram, seqpacket, tls } = options;
  const found = readEndpoint(text, { scheme: defaultScheme(options) });
  const isUnixDatagram = datagram || (udp && found.scheme === "unix");
  const datagramType = isUnixDatagram ? "datagram" : undefined;
  const messageType = seqpacket ? "seqpacket" : datagramType;
  if (seqpacket && datagram) throw new UsageError("--seqpacket and --datagram are given together");
  if (messageType !== undefined && found.scheme !== "unix") {
    throw new UsageError(`--${messageType} is given with an endpoint of ${found.scheme}, required a UNIX socket`);
  }
  if (udp && found.scheme !== "udp" && found.scheme !== "unix") {
    throw new UsageError(`--udp is given with an endpoint of ${found.scheme}, required one of udp or unix`);
  }
  if (tls && (found.scheme === "udp" || messageType !== undefined)) {
    throw new UsageError("--tls is given with datagrams, required a stream");
  }
  const secure = tls || found.scheme === "tls";
  const endpoint: Endpoint = tls && found.scheme === "tcp" ? { ...found, scheme: "tls" } : found;
  return { endpoint, messageType, secure, options: await Promise.all(options.option.map(readSocketOption)) };
}

/** The address texts that --source can mean. A user may omit the port, `unix:`, or the brackets of an IPv6 address. */
function possibleSources(text: string): string[] {
  if (text.includes("/") || text.startsWith("@")) return [`unix:${text}`];
  return text.includes(":") ? [text, `[${text}]:0`] : [`${text}:0`];
}

/** Parses --source: `HOST`, `HOST:PORT`, `:PORT`, or the path of a UNIX socket. */
export function readSource(text: string | undefined): AddressLike | undefined {
  if (text === undefined) return undefined;
  if (/^:\d{1,5}$/.test(text)) return ["", Number(text.slice(1))];
  let firstError: unknown;
  for (const candidate of possibleSources(text)) {
    try {
      // If the text has a `unix:` of its own, one of the two is removed.
      return parseAddress(candidate.replace(/^unix:unix:/, "unix:"));
    } catch (error) {
      // The first candidate is the one that is closest to the text.
      firstError ??= error;
    }
  }
  throw new UsageError(`--source is ${JSON.stringify(text)}: ${(firstError as Error).message}`);
}
