// ping: sends ICMP echo requests to a host, and measures the round-trip time.
//
//   node out/examples/ping.js [-4 | -6] [-c count] [-i seconds] [-W seconds] [-s bytes] host
//
// Ctrl-C ends it and prints the statistics. As a module: for await (const event of ping("localhost", { count: 3 })) …

import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { AF_INET, AF_INET6, SocketError } from "berkeley";

import { type Kind, ping, type PingEvent, type PingOptions } from "./ping/echo.js";
import { Statistics } from "./ping/statistics.js";

export { type Kind, ping, type PingEvent, type PingOptions, Statistics };

const USAGE = "usage: ping [-4 | -6] [-c count] [-i seconds] [-W seconds] [-s bytes] [--datagram | --raw] host";

/** The line to print for an event, if any. */
export function lineOf(event: PingEvent): string | undefined {
  switch (event.type) {
    case "reply": {
      const ttl = event.ttl === undefined ? "" : ` ttl=${event.ttl}`;
      const note = event.duplicate ? " (duplicate)" : event.late ? " (late)" : "";
      return `${event.bytes} bytes from ${event.from}: icmp_seq=${event.sequence}${ttl} time=${event.time.toFixed(3)} ms${note}`;
    }
    case "error":
      return `From ${event.from ?? "this machine"}: icmp_seq=${event.sequence} ${event.code}`;
    case "lost":
      return `no answer to icmp_seq=${event.sequence}`;
    default:
      return undefined;
  }
}

function readArguments(args: readonly string[]): { host: string; options: PingOptions } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ipv4: { type: "boolean", short: "4" },
      ipv6: { type: "boolean", short: "6" },
      count: { type: "string", short: "c" },
      interval: { type: "string", short: "i" },
      wait: { type: "string", short: "W" },
      size: { type: "string", short: "s" },
      datagram: { type: "boolean" },
      raw: { type: "boolean" },
    },
  });
  const [host] = positionals;
  if (host === undefined || positionals.length > 1) throw new TypeError("required one host");
  if (values.ipv4 && values.ipv6) throw new TypeError("-4 and -6 exclude each other");
  if (values.datagram && values.raw) throw new TypeError("--datagram and --raw exclude each other");
  const number = (name: "count" | "interval" | "wait" | "size", scale: number): number | undefined => {
    const text = values[name];
    if (text === undefined) return undefined;
    if (!/^\d+(\.\d+)?$/.test(text)) throw new TypeError(`${name} is ${JSON.stringify(text)}, required a number`);
    return Number(text) * scale;
  };
  const given = {
    family: values.ipv4 ? AF_INET : values.ipv6 ? AF_INET6 : undefined,
    count: number("count", 1),
    interval: number("interval", 1_000),
    wait: number("wait", 1_000),
    size: number("size", 1),
    kind: values.datagram ? "datagram" : values.raw ? "raw" : undefined,
  };
  return { host, options: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}

/** Returns the status of the process: 0 after an answer, 1 without one, 2 if no request could be sent. */
async function main(args: readonly string[]): Promise<number> {
  let host: string;
  let options: PingOptions;
  try {
    ({ host, options } = readArguments(args));
  } catch (error) {
    console.error(`ping: ${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once("SIGINT", interrupt);
  const statistics = new Statistics();
  try {
    for await (const event of ping(host, { ...options, signal: interrupted.signal })) {
      statistics.add(event);
      if (event.type === "start") {
        console.log(`PING ${host} (${event.address}): ${options.size ?? 56} data bytes, ${event.kind} socket`);
      }
      const line = lineOf(event);
      if (line !== undefined) console.log(line);
    }
  } catch (error) {
    if (!interrupted.signal.aborted) {
      console.error(
        `ping: ${error instanceof SocketError || error instanceof RangeError ? error.message : String(error)}`,
      );
      return 2;
    }
  } finally {
    process.off("SIGINT", interrupt);
  }
  console.log(`\n--- ${host} ping statistics ---\n${statistics}`);
  return statistics.received > 0 ? 0 : 1;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
