// udp: an echo of small datagrams in batches, and bulk in large datagrams.

import { Child, type Line, numberIn } from "../lib/children.js";
import { type Program, native, script, served } from "../lib/servers.js";
import { type Usage, usageIn, usageOf } from "../lib/usage.js";
import type { Sample, Subject, Workload } from "../lib/workload.js";

const size = 64;
const inFlight = 256;
const sockets = 4;
const segment = 1472;

/** Throws if more than one datagram in 1,000 was lost, because the figures would not be comparable. */
function refuseLoss(lost: number, count: number): void {
  if (lost > count / 1000) throw new Error(`${lost} of ${count + lost} datagrams were lost, at most 1 in 1000 may be`);
}

function echoSample(line: Line): Sample {
  const packets = numberIn(line, "count");
  refuseLoss(numberIn(line, "lost"), packets);
  const usage = usageIn(line);
  return {
    cpu_us_per_packet: usage.cpuNs / packets / 1e3,
    user_us_per_packet: usage.userNs / packets / 1e3,
    system_us_per_packet: usage.systemNs / packets / 1e3,
    packets_per_second: (packets / usage.elapsedNs) * 1e9,
    latency_p50_us: numberIn(line, "p50Ns") / 1e3,
    latency_p99_us: numberIn(line, "p99Ns") / 1e3,
  };
}

function echo(name: string, role: Subject["role"], program: Program, ...parameters: string[]): Subject {
  const load = async (): Promise<string[]> => [sockets, inFlight, size].map(String);
  return served({ name, role }, (site) => program(site, ...parameters), "udp_echo_load", load, echoSample);
}

/** Makes a sender send for a time. Resolves with the delivered megabytes and the elapsed time. */
async function transfer(sender: Child, milliseconds: number): Promise<{ megabytes: number; elapsedNs: number }> {
  sender.writeLine(String(milliseconds));
  const line = await sender.nextObject(milliseconds + 20_000);
  const count = numberIn(line, "count");
  refuseLoss(numberIn(line, "lost"), count);
  return { megabytes: (count * segment) / 1e6, elapsedNs: numberIn(line, "elapsedNs") };
}

/**
 * Makes a bulk subject of a program with two commands. `receive` prints its port and never ends. `send PORT` reads
 * numbers from its standard input, and for each number sends for so many milliseconds.
 */
function bulk(name: string, role: Subject["role"], program: Program): Subject {
  return {
    name,
    role,
    open: async (placement) => {
      const children: Child[] = [];
      const stop = async (): Promise<void> => {
        for (const child of children) await child.stop();
      };
      const start = async (core: number, ...parameters: string[]): Promise<{ child: Child; port: number }> => {
        const child = await Child.start(core, await program(placement.site, ...parameters));
        children.push(child);
        return { child, port: numberIn(await child.nextObject(), "port") };
      };
      try {
        const { child: receiver, port } = await start(placement.server, "receive");
        const { child: sender } = await start(placement.load, "send", String(port));
        return {
          measure: async ({ warmupMs, measureMs }) => {
            await transfer(sender, warmupMs);
            const work = (): ReturnType<typeof transfer> => transfer(sender, measureMs);
            const { result, usages } = await usageOf(placement.load, [receiver, sender], work);
            const [receiving, sending] = usages as [Usage, Usage];
            return {
              bulk_mb_per_second: (result.megabytes / result.elapsedNs) * 1e9,
              bulk_receive_cpu_us_per_mb: receiving.cpuNs / result.megabytes / 1e3,
              bulk_send_cpu_us_per_mb: sending.cpuNs / result.megabytes / 1e3,
            };
          },
          children,
          [Symbol.asyncDispose]: stop,
        };
      } catch (error) {
        await stop();
        throw error;
      }
    },
  };
}

export const udp: Workload = {
  name: "udp",
  cases: [
    {
      title: `echo of ${size}-byte datagrams, ${inFlight} in flight from ${sockets} sockets`,
      metrics: [
        { name: "cpu_us_per_packet", label: "CPU us/packet", digits: 2 },
        { name: "user_us_per_packet", label: "user", digits: 2, detail: true },
        { name: "system_us_per_packet", label: "system", digits: 2, detail: true },
        { name: "packets_per_second", label: "packets/s", digits: 0 },
        { name: "latency_p50_us", label: "p50 us", digits: 0, detail: true },
        { name: "latency_p99_us", label: "p99 us", digits: 0, detail: true },
      ],
      subjects: [
        echo("berkeley", "ours", script("udp-echo-berkeley")),
        echo("c", "peer", native("udp_echo_server"), "block"),
        echo("node:dgram", "peer", script("udp-echo-node")),
        echo("c-block", "variant", native("udp_echo_server"), "block"),
        echo("c-poll", "variant", native("udp_echo_server"), "poll"),
      ],
      limits: [
        { metric: "cpu_us_per_packet", subject: "berkeley", peer: "c", atMost: 1.15 },
        { metric: "cpu_us_per_packet", subject: "berkeley", peer: "node:dgram", atMost: 0.5 },
      ],
    },
    {
      title: `bulk in datagrams of ${segment} bytes, with GSO and GRO where the subject can`,
      metrics: [
        { name: "bulk_mb_per_second", label: "MB/s", digits: 0 },
        { name: "bulk_receive_cpu_us_per_mb", label: "receiver CPU us/MB", digits: 1 },
        { name: "bulk_send_cpu_us_per_mb", label: "sender CPU us/MB", digits: 1 },
      ],
      subjects: [
        bulk("berkeley", "ours", script("udp-bulk-berkeley")),
        bulk("berkeley-sync", "ours", script("udp-bulk-berkeley-sync")),
        bulk("c", "peer", native("udp_bulk")),
        bulk("node:dgram", "peer", script("udp-bulk-node")),
      ],
      limits: [
        { metric: "bulk_mb_per_second", subject: "berkeley", peer: "c", atLeast: 0.92 },
        { metric: "bulk_mb_per_second", subject: "berkeley", peer: "node:dgram", atLeast: 10 },
      ],
    },
  ],
};
