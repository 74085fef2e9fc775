// Helpers of the tests of the chat: nodes as programs, a nats-server that can be killed and started again, HAProxy.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type Stream } from "berkeley";
import { find } from "../ecosystem/support.js";
import { freePort } from "../support/freePort.js";
import { compiled, Program, root } from "../support/program.js";

/** More than any test of the chat needs on a busy machine. */
const limit = 120_000;

/** A program that ends with this process, however that ends. */
function launch(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Program {
  const setpriv = find("setpriv");
  const whole = setpriv === undefined ? [command, ...args] : [setpriv, "--pdeathsig", "KILL", command, ...args];
  return new Program(whole[0]!, whole.slice(1), { env, limit });
}

/** A nats-server with JetStream, whose messages survive its end. */
export class Nats implements AsyncDisposable {
  readonly url: string;
  readonly #port: number;
  readonly #folder: string;
  #program: Program;

  private constructor(port: number, folder: string, program: Program) {
    this.url = `nats://127.0.0.1:${port}`;
    this.#port = port;
    this.#folder = folder;
    this.#program = program;
  }

  static async start(): Promise<Nats> {
    const folder = mkdtempSync(join(tmpdir(), "berkeley-nats-"));
    const program = Nats.#run(folder, -1);
    const [, port] = await program.line(/Listening for client connections on 127\.0\.0\.1:(\d+)/, "stderr");
    await program.line(/Server is ready/, "stderr");
    return new Nats(Number(port), folder, program);
  }

  static #run(folder: string, port: number): Program {
    const args = ["-js", "-sd", folder, "-a", "127.0.0.1", "-p", String(port)];
    return launch(find("nats-server")!, args);
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    this.#program.kill("SIGKILL");
    await this.#program.ended;
  }

  async startAgain(): Promise<void> {
    this.#program = Nats.#run(this.#folder, this.#port);
    await this.#program.line(/Server is ready/, "stderr");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A line of a node's log. */
export interface Logged {
  readonly event: string;
  readonly client?: string;
  readonly nick?: string;
  readonly [field: string]: unknown;
}

/** A node in a process of its own. */
export class NodeProgram implements AsyncDisposable {
  readonly name: string;
  readonly program: Program;
  readonly lines: number;
  readonly webSocket: number;
  readonly health: number;

  private constructor(name: string, program: Program, listening: Logged) {
    const port = (text: unknown): number => Number(/:(\d+)$/.exec(String(text))![1]);
    this.name = name;
    this.program = program;
    this.lines = port(listening["lines"]);
    this.webSocket = port(listening["webSocket"]);
    this.health = port(listening["health"]);
  }

  static async start(name: string, ...args: string[]): Promise<NodeProgram> {
    const any = "tcp://127.0.0.1:0";
    const own = ["--name", name, "--listen", any, "--websocket", any, "--health", any];
    const program = launch(process.execPath, [join(compiled, "examples", "chat", "main.js"), ...own, ...args]);
    const [text] = await program.line(/^.*"event":"listening".*$/);
    return new NodeProgram(name, program, JSON.parse(text) as Logged);
  }

  get log(): Logged[] {
    const whole = this.program.stdout.split("\n").slice(0, -1);
    return whole.map((text) => JSON.parse(text) as Logged);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}

/** HAProxy with the configuration of the example in front of three nodes. */
export async function startHaproxy(
  nodes: readonly NodeProgram[],
): Promise<AsyncDisposable & { lines: number; webSocket: number }> {
  const [lines, webSocket] = [await freePort(), await freePort()];
  const env: Record<string, string> = {
    CHAT_LINES: `127.0.0.1:${lines}`,
    CHAT_WEBSOCKET: `127.0.0.1:${webSocket}`,
  };
  for (const [index, node] of nodes.entries()) {
    const letter = "ABC"[index]!;
    env[`${letter}_LINES`] = `127.0.0.1:${node.lines}`;
    env[`${letter}_WEBSOCKET`] = `127.0.0.1:${node.webSocket}`;
    env[`${letter}_HEALTH`] = String(node.health);
  }
  const file = join(root, "examples", "chat", "haproxy.cfg");
  const program = launch(find("haproxy")!, ["-db", "-q", "-f", file], env);
  const up: Promise<Stream> = connect(["127.0.0.1", lines], { retry: { maxTries: 400, minDelay: 20, maxDelay: 50 } });
  const ended: Promise<never> = program.ended.then(({ stderr }) =>
    Promise.reject(new Error(`haproxy has ended: ${stderr}`)),
  );
  for (const promise of [up, ended]) promise.catch(() => undefined);
  const first = await Promise.race([up, ended]);
  await first.close();
  return { lines, webSocket, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

/** The status of a path of a health port. */
export async function statusOf(port: number, path: string): Promise<number> {
  await using stream = await connect(["127.0.0.1", port]);
  await stream.write(`GET ${path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n`);
  const [, status] = /^HTTP\/1\.1 (\d+)/.exec((await stream.readLine())!)!;
  for await (const chunk of stream) void chunk;
  return Number(status);
}

/** The next line that begins with this. */
export async function lineWith(stream: Stream, start: string): Promise<string> {
  for (;;) {
    const line = await stream.readLine({ timeout: 20_000 });
    if (line === null) throw new Error(`the stream ended without a line ${start}`);
    if (line.startsWith(start)) return line;
  }
}
