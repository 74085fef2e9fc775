// idle: connections on which a read waits. It measures the memory of the server for one connection: RssAnon after a
// garbage collection with 5,000 and with 15,000 connections, and the difference divided by 10,000. A second case goes
// to 50,000 connections, if the limit of descriptors allows it. The memory of the kernel is not counted, because it is
// the same for all subjects.

import { Child, numberIn } from "../lib/children.js";
import { descriptorLimit, residentBytes } from "../lib/memory.js";
import { nativeProgram } from "../lib/native.js";
import { collecting, otherRuntimes, peerEcho, type PeerName, whyAbsent } from "../lib/peers.js";
import { type Program, script } from "../lib/servers.js";
import type { Case, Limit, Sample, Subject, Workload } from "../lib/workload.js";

/** Descriptors of a server besides its connections. */
const spare = 100;

/** A program of bench/servers/, started with --expose-gc if it has the argument "collect". */
const collector =
  (name: string): Program =>
  async (site, ...parameters) => {
    const [node, ...rest] = await script(name)(site, ...parameters.filter((one) => one !== "collect"));
    return [node, ...collecting(parameters), ...rest];
  };

function subjectOf(
  name: string,
  role: Subject["role"],
  program: Program,
  parameters: readonly string[],
  [few, many]: readonly [number, number],
  peer?: PeerName,
): Subject {
  const open: Subject["open"] = async (placement) => {
    const measure = async (): Promise<Sample> => {
      await using server = await Child.start(placement.server, await program(placement.site, ...parameters, "collect"));
      const port = numberIn(await server.nextObject(), "port");
      const memory = async (): Promise<number> => {
        // Two collections: the finalizers that run after the first one release objects that the second one frees.
        for (let i = 0; i < 2; i++) {
          server.writeLine("collect");
          await server.nextObject();
        }
        return residentBytes(server.pid);
      };
      const load = await nativeProgram("idle_load");
      await using clients = await Child.start(placement.load, [load, ...[port, few, many].map(String)]);
      await clients.nextObject(120_000);
      const before = await memory();
      clients.writeLine("more");
      await clients.nextObject(120_000);
      const after = await memory();
      return { [`bytes_per_connection_${many}`]: (after - before) / (many - few) };
    };
    return { measure, [Symbol.asyncDispose]: async () => undefined };
  };
  const absent = async (): Promise<string | undefined> => {
    const limit = await descriptorLimit();
    if (limit < many + spare) return `${many} connections need ${many + spare} descriptors, and the limit is ${limit}`;
    return peer === undefined ? undefined : whyAbsent(peer);
  };
  return { name, role, open, absent };
}

function caseOf(few: number, many: number, hasLimits: boolean): Case {
  const metric = `bytes_per_connection_${many}`;
  const range = [few, many] as const;
  const subject = (
    name: string,
    role: Subject["role"],
    program: Program,
    parameters: readonly string[],
    peer?: PeerName,
  ): Subject => subjectOf(name, role, program, parameters, range, peer);
  const limits: readonly Limit[] = [
    { metric, subject: "berkeley", atMost: 1200 },
    { metric, subject: "berkeley-stream", atMost: 1800 },
  ];
  return {
    title: `idle connections, ${few.toLocaleString("en")} to ${many.toLocaleString("en")}`,
    metrics: [{ name: metric, label: "bytes/connection", digits: 0 }],
    windows: 1,
    subjects: [
      subject("berkeley", "ours", collector("tcp-echo-berkeley"), ["recv"]),
      subject("berkeley-stream", "ours", collector("stream-echo-berkeley"), ["chunks"]),
      subject("node:net", "peer", collector("tcp-echo-node"), []),
      ...otherRuntimes.map(({ name, peer }) => subject(name, "peer", peerEcho(peer), [], peer)),
    ],
    limits: hasLimits ? limits : [],
  };
}

export const idle: Workload = { name: "idle", cases: [caseOf(5000, 15_000, true), caseOf(15_000, 50_000, false)] };
