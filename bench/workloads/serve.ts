// serve: the echo of tcp-echo with a handler. The first case calls the handler from serve() with its default limits,
// and from a loop over listen(). The difference is the cost of the limits. The other cases compare two workers with
// one: the gain for a handler that uses CPU, and the cost for a handler that only echoes.

import { allowedCores, chooseCores } from "../lib/machine.js";
import { type Program, script } from "../lib/servers.js";
import type { Metric, Sample, Subject, Window, Workload } from "../lib/workload.js";
import { echoMetrics, echoSubject, echoTitle } from "./tcp-echo.js";

/** Iterations of a loop for each message. 600,000 take about a millisecond. */
const TURNS = { idle: "0", burning: "600000" };
type Work = keyof typeof TURNS;

/** The metrics of a case, whose names are unique in the workload. */
const metricsOf = (work: Work): readonly Metric[] =>
  echoMetrics.map((metric) => ({ ...metric, name: `${work}_${metric.name}` }));

/**
 * Makes a subject with workers. If the handler burns CPU, the workers run on both cores, one of which is that of the
 * load generator, which uses little CPU then. Otherwise the workers run on the server's core only. On both cores they
 * would compete with the load generator, and the figure would depend on the scheduler.
 */
function workers(count: number, work: Work): Subject {
  const program: Program = async (site, ...parameters) => {
    const command = await script("worker-echo-berkeley")(site, ...parameters);
    if (work === "idle") return command;
    const { server, load } = chooseCores(allowedCores());
    return ["taskset", "--cpu-list", `${load},${server}`, ...command];
  };
  const name = `${count} worker${count === 1 ? "" : "s"}`;
  const subject = echoSubject(name, count === 1 ? "peer" : "ours", program, String(count), TURNS[work]);
  return {
    ...subject,
    open: async (placement) => {
      const contender = await subject.open(placement);
      const measure = contender.measure.bind(contender);
      return Object.assign(contender, {
        measure: async (window: Window): Promise<Sample> => {
          const sample = await measure(window);
          return Object.fromEntries(Object.entries(sample).map(([metric, value]) => [`${work}_${metric}`, value]));
        },
      });
    },
  };
}

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
    {
      title: `${echoTitle}, a handler that burns 1 ms of CPU, on two cores`,
      metrics: metricsOf("burning"),
      subjects: [workers(2, "burning"), workers(1, "burning")],
      limits: [{ metric: "burning_echoes_per_second", subject: "2 workers", peer: "1 worker", atLeast: 1.7 }],
    },
    {
      title: `${echoTitle}, with workers, on one core`,
      metrics: metricsOf("idle"),
      subjects: [workers(2, "idle"), workers(1, "idle")],
      limits: [{ metric: "idle_cpu_us_per_echo", subject: "2 workers", peer: "1 worker", atMost: 1.1 }],
    },
  ],
};
