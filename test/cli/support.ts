// Runs the command `berkeley`.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Socket } from "berkeley";
import { type Ended, Program, type ProgramOptions } from "../support/program.js";

/** The path of the compiled command. */
export const MAIN: string = fileURLToPath(new URL("cli/main.js", import.meta.resolve("berkeley")));

/** The reason to skip a test that requires these programs; false if they are installed, and under CI. */
export function missing(...names: readonly string[]): string | false {
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin"];
  const lacking = names.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
  return lacking.length === 0 || process.env["CI"] === "true" ? false : `${lacking.join(", ")} missing`;
}

export function start(args: readonly string[], options?: ProgramOptions): Program {
  return Program.node([MAIN, ...args], options);
}

export async function run(args: readonly string[], options?: ProgramOptions): Promise<Ended> {
  await using program = start(args, options);
  return await program.ended;
}

/** The endpoint on which our program listens, from its output. */
export async function listening(program: Program): Promise<string> {
  const [, endpoint = ""] = program.child.spawnargs.some((word) => word.includes("--json"))
    ? await program.line(/"event":"listening","endpoint":"([^"]+)"/)
    : await program.line(/^berkeley: listening on (\S+)$/, "stderr");
  return endpoint;
}

/** Parses the output of --json. */
export function objects(stdout: string): Record<string, unknown>[] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** The commands that the program lists. */
export async function commands(): Promise<{ readonly name: string; readonly summary: string }[]> {
  const { stdout } = await run([]);
  const [, list = ""] = /^Commands:\n((?: {2}.*\n)+)/m.exec(stdout) ?? [];
  return [...list.matchAll(/^ {2}(\S+) +(.*)$/gm)].map(([, name = "", summary = ""]) => ({ name, summary }));
}

/** The command `steps` after its steps, when it serves on a port that the kernel chose. */
export interface Serving extends AsyncDisposable {
  readonly program: Program;
  readonly port: number;
}

export async function serve(args: readonly string[] = [], options?: ProgramOptions): Promise<Serving> {
  const program = start(["steps", "--port", "0", ...args], options);
  try {
    const [, port = ""] = await program.line(/^Serving on \S*:(\d+) /);
    return { program, port: Number(port), [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}

/** A connected client, with a timeout for each call. */
export async function visitor(port: number): Promise<Socket> {
  const socket = new Socket();
  socket.timeout = 10_000;
  try {
    await socket.connect(["127.0.0.1", port]);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Receives all bytes until the end. */
export async function rest(socket: Socket): Promise<string> {
  const pieces: Buffer[] = [];
  for (;;) {
    const piece = await socket.recv(65_536);
    if (piece.length === 0) return Buffer.concat(pieces).toString();
    pieces.push(piece);
  }
}

/** The answer that a visitor gets for `text`. */
export async function ask(port: number, text: string | Uint8Array): Promise<string> {
  await using socket = await visitor(port);
  await socket.sendAll(text);
  return await rest(socket);
}
