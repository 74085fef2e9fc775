// serve: the echo of tcp-echo with one handler, called by serve() with its default limits and by a loop over listen(). What the
// limits of serve() cost.

import { script } from "../lib/servers.js";
import type { Workload } from "../lib/workload.js";
import { echoMetrics, echoSubject, echoTitle } from "./tcp-echo.js";

export const serve: Workload = {
  name: "serve",
  rounds: 15,
  cases: [
    {
      title: `${echoTitle}, through serve()`,
      metrics: echoMetrics,
      subjects: [
        echoSubject("serve", "ours", script("serve-echo-berkeley"), "serve"),
        echoSubject("bare", "peer", script("serve-echo-berkeley"), "bare"),
      ],
      limits: [{ metric: "cpu_us_per_echo", subject: "serve", peer: "bare", atMost: 1.03 }],
    },
  ],
};
