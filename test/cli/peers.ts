// Other programs as peers of ours, with standard input and output of any kind.
import { createHash, randomFillSync } from "node:crypto";
import {
  closeSync,
  createReadStream,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { Program } from "../support/program.js";
import { MAIN } from "./support.js";

/** A folder that is removed after the tests of a file. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `berkeley-${name}-`));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A file of random bytes; its SHA-256. */
export function randomFile(path: string, bytes: number): string {
  const block = Buffer.alloc(Math.min(bytes, 1 << 20));
  const sum = createHash("sha256");
  const file = openSync(path, "w");
  randomFillSync(block);
  for (let written = 0; written < bytes; written += block.length) {
    block.writeUInt32LE(written % 0xffff_ffff, 0);
    const part = block.subarray(0, Math.min(block.length, bytes - written));
    writeSync(file, part);
    sum.update(part);
  }
  closeSync(file);
  return sum.digest("hex");
}

export async function checksum(path: string): Promise<string> {
  const sum = createHash("sha256");
  for await (const chunk of createReadStream(path)) sum.update(chunk as Buffer);
  return sum.digest("hex");
}

export interface Redirections {
  readonly stdin?: string;
  readonly stdout?: string;
  readonly env?: NodeJS.ProcessEnv;
}

const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/**
 * A program with files on its standard input and output. The shell becomes the program, so the process is the
 * program's.
 */
export function redirected(
  command: readonly string[],
  { stdin = "/dev/null", stdout, env }: Redirections = {},
): Program {
  const to = stdout === undefined ? "" : ` > ${quote(stdout)}`;
  const script = `exec ${command.map(quote).join(" ")} < ${quote(stdin)}${to}`;
  return new Program("/bin/sh", ["-c", script], env === undefined ? {} : { env });
}

/** Our command with files on its standard input and output. */
export function ours(args: readonly string[], redirections?: Redirections): Program {
  return redirected([process.execPath, MAIN, ...args], redirections);
}

/** The port to which a process has bound a socket, from /proc, because most programs don't print it. */
export function boundPort(program: Program, protocol: "tcp" | "udp"): number {
  const { pid } = program.child;
  const inodes = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? [];
    if (inode !== undefined) inodes.add(inode);
  }
  for (const table of [protocol, `${protocol}6`]) {
    for (const line of readFileSync(`/proc/net/${table}`, "latin1").split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (inodes.has(fields[9] ?? "")) return Number.parseInt(fields[1]!.split(":")[1]!, 16);
    }
  }
  throw new Error(`process ${pid} has no ${protocol} socket`);
}
