// A program that upgrades itself, in several generations, and the commands that it takes over its own server.

import { connect, type EndpointLike, type Stream } from "berkeley";
import { Program, type ProgramOptions } from "../support/program.js";

/**
 * A server at ENDPOINT. A connection sends a command and gets a line: `who`, `upgrade {options}`, `state`, ….
 * MODE is the fault of a generation.
 */
export const PROGRAM = `
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
const { serve, ready } = await import(process.env.SERVER_MODULE);
const { ENDPOINT = "tcp://127.0.0.1:0", GENERATION = "1", MODE = "", TLS } = process.env;
console.log("begin " + GENERATION + " " + process.pid);
if (MODE === "early") throw new Error("no configuration");
if (MODE === "stopped") process.exit(3);
if (MODE === "asleep") await new Promise(() => setInterval(() => undefined, 1000));
const openFiles = () => readdirSync("/proc/self/fd").flatMap((fd) => {
  try {
    return [readlinkSync("/proc/self/fd/" + fd).replace(/\\d+/g, "N")];
  } catch {
    return [];
  }
}).filter((name) => !/proc/.test(name)).sort();
const commands = {
  who: async () => GENERATION + " " + process.pid,
  children: async () => readFileSync("/proc/self/task/" + process.pid + "/children", "latin1").trim(),
  state: async () => {
    while (server.stats().connections > 1) await new Promise((resolve) => setImmediate(resolve));
    return JSON.stringify({ children: await commands.children(), fds: openFiles() });
  },
  upgrade: async (text) => {
    const opts = JSON.parse(text || "{}");
    const env = { ...process.env, MODE: "", GENERATION: String(Number(GENERATION) + 1), ...opts.env };
    const { pid } = await server.upgrade({ ...opts, env });
    return "upgraded to " + pid;
  },
  hold: async (text, stream) => {
    await stream.write("holding\\n");
    return "held " + (await stream.readLine());
  },
  drain: async () => (void server.drain(), "draining"),
};
const listen = TLS === undefined ? undefined : { tls: { cert: TLS, key: TLS } };
const server = await serve(ENDPOINT, async (stream) => {
  const [, command, rest] = /^(\\w+) ?(.*)$/.exec(await stream.readLine());
  const answer = await commands[command](rest, stream).catch(({ name, code, message, exitCode, signal, cause }) =>
    JSON.stringify({ name, code, message, exitCode, signal, cause: cause?.message }));
  await stream.write(answer + "\\n");
}, { listen });
if (MODE === "late") await (async () => { throw new Error("no database"); })();
if (MODE === "killed") process.kill(process.pid, "SIGKILL");
if (MODE === "hanging") console.log("listening " + GENERATION);
if (MODE === "hanging") await new Promise(() => setInterval(() => undefined, 1000));
if (MODE === "stubborn") process.on("SIGTERM", () => undefined);
if (MODE === "blocked" || MODE === "stubborn") for (;;);
// The second call replaces the options of the first.
server.upgradeOn(["SIGUSR2"], { command: "/nonexistent" });
server.upgradeOn(["SIGUSR2"], { env: { ...process.env, GENERATION: String(Number(GENERATION) + 1) },
  onError: (error) => console.log("refused " + GENERATION + " " + error.code) });
server.shutdownOn(["SIGTERM"]);
await ready();
console.log("ready " + GENERATION + " " + process.pid + " " + server.address);
await server.closed;
const { accepted, refused, failed, aborted } = server.stats();
console.log("closed " + GENERATION + " " + JSON.stringify({ refused, failed, aborted }) + " " + (accepted > 0));
`;

/** All generations of a program. `await using` ends them. */
export class Generations implements AsyncDisposable {
  readonly first: Program;
  #address: EndpointLike | undefined;

  constructor(env: NodeJS.ProcessEnv = {}, start: (args: string[], options: ProgramOptions) => Program = Program.node) {
    const module = {
      SERVER_MODULE: import.meta.resolve("berkeley/server"),
      MAIN_MODULE: import.meta.resolve("berkeley"),
    };
    this.first = start(["--input-type=module", "--eval", PROGRAM], { env: { ...module, ...env } });
  }

  /** Waits until a generation serves. Returns its process id. */
  async ready(generation: number): Promise<number> {
    const [, pid, address] = await this.first.line(new RegExp(`^ready ${generation} (\\d+) (.*)$`));
    this.#address ??= address!.startsWith("unix:") ? address! : `tcp://${address}`;
    return Number(pid);
  }

  get address(): EndpointLike {
    return this.#address!;
  }

  get port(): number {
    return Number(/:(\d+)$/.exec(this.#address as string)![1]);
  }

  connect(): Promise<Stream> {
    return connect(this.address);
  }

  /** The answer to a command. */
  async ask(command: string): Promise<string> {
    await using stream = await this.connect();
    await stream.write(`${command}\n`);
    return (await stream.readLine()) ?? "no answer";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [, pid] of this.first.stdout.matchAll(/^begin \d+ (\d+)$/gm)) {
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch {
        // It has ended.
      }
    }
    await this.first[Symbol.asyncDispose]();
  }
}
