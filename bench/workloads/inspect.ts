// inspect: the cost of the inspector. The first case is the echo of tcp-echo: with the module of the inspector not
// loaded, loaded and off, and on. The second case is a server with 8,000 idle connections, whose peers are in another
// process.

import { setTimeout as delay } from "node:timers/promises";

import { Child, numberIn } from "../lib/children.js";
import type { Placement } from "../lib/machine.js";
import { script } from "../lib/servers.js";
import { usageOf } from "../lib/usage.js";
import type { Contender, Subject, Workload } from "../lib/workload.js";
import { echoMetrics, echoSubject, echoTitle } from "./tcp-echo.js";

const CONNECTIONS = 8000;

function watched(name: string, role: Subject["role"], mode: string): Subject {
  const open = async ({ server, load, site }: Placement): Promise<Contender> => {
    const [node, ...parameters] = await script("inspect-watched-berkeley")(site, mode, String(CONNECTIONS));
    const child = await Child.start(server, [node, "--expose-gc", ...parameters]);
    let peers: Child | undefined;
    const stop = async (): Promise<void> => {
      await child.stop();
      await peers?.stop();
    };
    try {
      const port = numberIn(await child.nextObject(), "port");
      peers = await Child.start(load, await script("inspect-peers-node")(site, String(port), String(CONNECTIONS)));
      await peers.nextObject(60_000);
      await child.nextObject(60_000);
    } catch (error) {
      await stop();
      throw error;
    }
    return {
      children: [child, peers],
      measure: async ({ warmupMs, measureMs }) => {
        await delay(warmupMs);
        const { usages } = await usageOf(load, [child], () => delay(measureMs));
        child.writeLine("");
        const rss = numberIn(await child.nextObject(30_000), "rssBytes");
        const [usage] = usages;
        return { cpu_percent: (usage!.cpuNs / usage!.elapsedNs) * 100, rss_mb: rss / 1e6 };
      },
      [Symbol.asyncDispose]: stop,
    };
  };
  return { name, role, open };
}

export const inspect: Workload = {
  name: "inspect",
  rounds: 15,
  cases: [
    {
      title: `${echoTitle}, with the inspector`,
      metrics: echoMetrics,
      subjects: [
        echoSubject("off", "ours", script("inspect-echo-berkeley"), "try", "off"),
        echoSubject("on", "ours", script("inspect-echo-berkeley"), "try", "on"),
        echoSubject("none", "peer", script("inspect-echo-berkeley"), "try", "none"),
      ],
      limits: [
        { metric: "cpu_us_per_echo", subject: "off", peer: "none", atMost: 1.02 },
        { metric: "cpu_us_per_echo", subject: "on", peer: "none", atMost: 1.15 },
      ],
    },
    {
      title: `${CONNECTIONS} idle connections, with the inspector and a page`,
      metrics: [
        { name: "cpu_percent", label: "% of a core", digits: 2 },
        { name: "rss_mb", label: "memory, MB", digits: 1 },
      ],
      subjects: [watched("page", "ours", "page"), watched("watched", "ours", "on"), watched("bare", "peer", "none")],
      limits: [
        { metric: "cpu_percent", subject: "page", peer: "bare", atMost: 5 },
        { metric: "rss_mb", subject: "page", peer: "bare", atMost: 60 },
      ],
      comparison: "difference",
    },
  ],
};
