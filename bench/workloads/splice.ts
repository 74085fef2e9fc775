// splice: a TCP proxy that pumps four connections one way. Both ends are in one process on the other core.

import { Child, numberIn } from "../lib/children.js";
import type { Placement } from "../lib/machine.js";
import { nativeProgram, patternFile } from "../lib/native.js";
import { type Program, native, script } from "../lib/servers.js";
import type { Contender, Subject, Workload } from "../lib/workload.js";
import { byteMetrics, byteSample, fileSize } from "./sendfile.js";

const connections = 4;

/** The last argument of a proxy is the port of the far end, so every window has its own. */
function subject(name: string, role: Subject["role"], program: Program, ...parameters: string[]): Subject {
  const open = async (placement: Placement): Promise<Contender> => ({
    measure: async ({ warmupMs, measureMs }) => {
      await using ends = await Child.start(placement.load, [
        await nativeProgram("splice_load"),
        await patternFile(fileSize),
        ...[connections, warmupMs, measureMs].map(String),
      ]);
      const target = numberIn(await ends.nextObject(), "port");
      await using proxy = await Child.start(placement.server, await program(...parameters, String(target)));
      const port = numberIn(await proxy.nextObject(), "port");
      ends.tell(`${port} ${proxy.pid}`);
      return byteSample(await ends.nextObject(warmupMs + measureMs + 30_000));
    },
    [Symbol.asyncDispose]: async () => undefined,
  });
  return { name, role, open };
}

export const splice: Workload = {
  name: "splice",
  cases: [
    {
      title: `a TCP proxy, ${connections} connections, one way`,
      metrics: byteMetrics,
      subjects: [
        subject("berkeley", "ours", script("splice-berkeley"), "256"),
        subject("c", "peer", native("splice_server"), "256"),
        subject("node:net", "peer", script("splice-node")),
        subject("berkeley-64k", "variant", script("splice-berkeley"), "64"),
        subject("berkeley-1m", "variant", script("splice-berkeley"), "1024"),
        subject("c-64k", "variant", native("splice_server"), "64"),
        subject("c-256k", "variant", native("splice_server"), "256"),
        subject("c-1m", "variant", native("splice_server"), "1024"),
      ],
      limits: [{ metric: "cpu_us_per_mb", subject: "berkeley", peer: "c", atMost: 1.05 }],
    },
  ],
};
