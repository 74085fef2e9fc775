// splice: a TCP proxy that moves bytes of four connections in one direction. The client and the target are in one
// process on the other core.

import { type Program, native, script } from "../lib/servers.js";
import type { Subject, Workload } from "../lib/workload.js";
import { bulk, connections, ours, proxySubject } from "./proxy.js";
import { byteMetrics } from "./sendfile.js";

function subject(name: string, role: Subject["role"], program: Program, ...parameters: string[]): Subject {
  return proxySubject(name, role, ours(program, ...parameters), bulk);
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
