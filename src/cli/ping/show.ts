// Prints the replies of one host, and its statistics at the end.

import { SOCK_DGRAM, SocketError } from "berkeley";

import { Failure } from "../frame/failure.js";
import { hostOf, lookUp } from "../frame/hosts.js";
import type { Output } from "../frame/output.js";
import { ping, type PingEvent, type PingOptions } from "./pinger.js";
import { Statistics } from "./statistics.js";

export interface HostPingOptions extends PingOptions {
  readonly output: Output;
  /** Whether only addresses of this family are looked up. */
  readonly inet4: boolean;
  readonly inet6: boolean;
  /** Whether several hosts are pinged at the same time. Then each line begins with the name of the host. */
  readonly several: boolean;
}

/**
 * Pings a host until each request is answered or lost, or the signal is aborted. Resolves with true if the host has
 * answered.
 */
export async function pingHost(host: string, options: HostPingOptions): Promise<boolean> {
  const { output, inet4, inet6, several, signal } = options;
  const statistics = new Statistics();
  const prefix = several ? `${host}: ` : "";
  let address = "";
  try {
    const [target] = await lookUp(host, { inet4, inet6, type: SOCK_DGRAM, signal });
    address = hostOf(target!);
    for await (const event of ping(target!, options)) {
      statistics.add(event);
      if (event.type === "start") {
        output.detail(`${host} is ${address}; ${options.size} bytes of data, a ${event.kind} socket`);
      } else if (output.json) {
        if (event.type !== "sent") output.object({ event: event.type, host, ...withoutType(event) });
      } else {
        const line = lineOf(event);
        if (line !== undefined) output.line(prefix + line);
      }
    }
  } catch (error) {
    if (!signal.aborted) {
      // With several hosts, the error of one host does not end the others.
      const isHostError = error instanceof SocketError || error instanceof Failure;
      if (!several || !isHostError) throw error;
      output.problem(error, host);
      return false;
    }
  }
  // Without an address, the look-up was aborted.
  if (address !== "") {
    output.result({ event: "statistics", host, address, ...statistics.toJSON() }, () =>
      output.style("bold", `${host}: ${statistics}`),
    );
  }
  return statistics.received > 0;
}

function withoutType(event: PingEvent): object {
  return Object.fromEntries(Object.entries(event).filter(([name]) => name !== "type"));
}

/** The line of an event; undefined for an event that is not printed. */
function lineOf(event: PingEvent): string | undefined {
  switch (event.type) {
    case "reply": {
      const ttl = event.ttl === undefined ? "" : ` ttl=${event.ttl}`;
      let note = "";
      if (event.duplicate) note = " (duplicate)";
      else if (event.late) note = " (late)";
      return (
        `${event.bytes} bytes from ${event.from}: icmp_seq=${event.sequence}${ttl} ` +
        `time=${event.time.toFixed(3)} ms${note}`
      );
    }
    case "error":
      return `from ${event.from ?? "this machine"}: icmp_seq=${event.sequence} ${event.code}`;
    case "lost":
      return `no answer to icmp_seq=${event.sequence}`;
    default:
      return undefined;
  }
}
