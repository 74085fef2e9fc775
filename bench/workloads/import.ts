// import: the cost of importing the library. It compares the packed package, the development files (one file for each
// source), Node's own sockets, and an empty program. Each measurement is a fresh process, from fork to exit.

import { join } from "node:path";

import { Child, type Line, numberIn } from "../lib/children.js";
import type { Placement } from "../lib/machine.js";
import { nativeProgram } from "../lib/native.js";
import { ensurePacked } from "../lib/packed.js";
import type { Limit, Sample, Subject, Workload } from "../lib/workload.js";

function sampleOf(line: Line): Sample {
  return {
    start_to_exit_ms: numberIn(line, "elapsedNs") / 1e6,
    start_to_exit_cpu_ms: (numberIn(line, "userNs") + numberIn(line, "systemNs")) / 1e6,
    max_rss_mb: numberIn(line, "maxRssBytes") / 1e6,
  };
}

/** A program of bench/imports/ in a folder of the site. */
function subject(name: string, role: Subject["role"], folder: "bench" | "shipped", program: string): Subject {
  const runOnce = async ({ server, site }: Placement): Promise<Sample> => {
    const script = join(site[folder], "imports", `${program}.js`);
    await using child = await Child.start(server, [await nativeProgram("start_to_exit"), site.node, script]);
    return sampleOf(await child.nextObject(60_000));
  };
  return {
    name,
    role,
    open: async (placement) => {
      // Not measured: it reads the files from the disk into the page cache.
      await runOnce(placement);
      return {
        measure: () => runOnce(placement),
        [Symbol.asyncDispose]: async () => undefined,
      };
    },
  };
}

const subjects: readonly Subject[] = [
  subject("berkeley", "ours", "shipped", "berkeley"),
  subject("berkeley/sync", "ours", "shipped", "sync"),
  subject("files", "peer", "bench", "berkeley"),
  subject("files/sync", "peer", "bench", "sync"),
  subject("node:net", "peer", "bench", "net"),
  subject("empty", "peer", "bench", "empty"),
];

const limits: readonly Limit[] = ["berkeley", "berkeley/sync"].flatMap((name) => [
  { metric: "start_to_exit_ms", subject: name, peer: "empty", atMost: 30 },
  { metric: "max_rss_mb", subject: name, peer: "empty", atMost: 8 },
]);

export const importing: Workload = {
  name: "import",
  rounds: 20,
  prepare: ensurePacked,
  cases: [
    {
      title: "a program that imports it and ends, in a fresh process",
      metrics: [
        { name: "start_to_exit_ms", label: "ms", digits: 1 },
        { name: "start_to_exit_cpu_ms", label: "CPU ms", digits: 1 },
        { name: "max_rss_mb", label: "most memory, MB", digits: 2 },
      ],
      subjects,
      limits,
      comparison: "difference",
      windows: 1,
    },
  ],
};
