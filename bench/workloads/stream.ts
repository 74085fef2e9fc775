// stream: the echo of tcp-echo through Stream, which most programs use. The difference to tcp-echo is the cost of the
// stream.

import { native, script } from "../lib/servers.js";
import type { Workload } from "../lib/workload.js";
import { echoMetrics, echoPeers, echoSubject, echoTitle } from "./tcp-echo.js";

export const stream: Workload = {
  name: "stream",
  cases: [
    {
      title: `${echoTitle}, through Stream`,
      metrics: echoMetrics,
      subjects: [
        echoSubject("berkeley", "ours", script("stream-echo-berkeley"), "into"),
        echoSubject("berkeley-chunks", "ours", script("stream-echo-berkeley"), "chunks"),
        echoSubject("c", "peer", native("tcp_echo_server"), "et", "sr"),
        echoSubject("node:net", "peer", script("tcp-echo-node")),
        ...echoPeers,
        echoSubject("berkeley-pipe", "variant", script("stream-echo-berkeley"), "pipe"),
      ],
      limits: [{ metric: "cpu_us_per_echo", subject: "berkeley", peer: "c", atMost: 1.2 }],
    },
  ],
};
