// The endpoint of `connect`, `listen` and `send`, combined with --udp, --tls, --datagram and --seqpacket.

import { type AddressLike, type Endpoint, parseAddress } from "berkeley";

import { readEndpoint } from "../frame/endpoints.js";
import { UsageError } from "../frame/failure.js";
import { type GivenOption, readSocketOption } from "../frame/socketOptions.js";
import type { TalkValues } from "./options.js";

export interface Target {
  readonly endpoint: Endpoint;
  readonly messages: "datagram" | "seqpacket" | undefined;
  readonly secure: boolean;
  readonly options: readonly GivenOption[];
}

type TargetValues = Pick<TalkValues, "udp" | "datagram" | "seqpacket" | "option"> & { readonly tls: boolean };

export async function readTarget(text: string, options: TargetValues): Promise<Target> {
  const { udp, datagram, seqpacket, tls } = options;
  const found = readEndpoint(text, { scheme: udp ? "udp" : tls ? "tls" : "tcp" });
  const messages = seqpacket ? "seqpacket" : datagram || (udp && found.scheme === "unix") ? "datagram" : undefined;
  if (seqpacket && datagram) throw new UsageError("--seqpacket and --datagram are given together");
  if (messages !== undefined && found.scheme !== "unix") {
    throw new UsageError(`--${messages} is given with an endpoint of ${found.scheme}, required a UNIX socket`);
  }
  if (udp && found.scheme !== "udp" && found.scheme !== "unix") {
    throw new UsageError(`--udp is given with an endpoint of ${found.scheme}, required one of udp or unix`);
  }
  if (tls && (found.scheme === "udp" || messages !== undefined)) {
    throw new UsageError("--tls is given with datagrams, required a stream");
  }
  const secure = tls || found.scheme === "tls";
  const endpoint: Endpoint = tls && found.scheme === "tcp" ? { ...found, scheme: "tls" } : found;
  return { endpoint, messages, secure, options: await Promise.all(options.option.map(readSocketOption)) };
}

/** The addresses that a --source can mean. The text may lack a port, the brackets of an IPv6 address, or `unix:`. */
function possibleSources(text: string): string[] {
  if (text.includes("/") || text.startsWith("@")) return [`unix:${text}`];
  return text.includes(":") ? [text, `[${text}]:0`] : [`${text}:0`];
}

/** The address of --source: `HOST`, `HOST:PORT`, `:PORT`, or the path of a UNIX socket. */
export function readSource(text: string | undefined): AddressLike | undefined {
  if (text === undefined) return undefined;
  if (/^:\d{1,5}$/.test(text)) return ["", Number(text.slice(1))];
  let firstError: unknown;
  for (const candidate of possibleSources(text)) {
    try {
      return parseAddress(candidate.replace(/^unix:unix:/, "unix:"));
    } catch (error) {
      firstError ??= error;
    }
  }
  throw new UsageError(`--source is ${JSON.stringify(text)}: ${(firstError as Error).message}`);
}
