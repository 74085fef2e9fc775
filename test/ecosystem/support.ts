// Functions that the tests of this folder share: they find and run other programs, and start servers.
//
// A server gets a temporary folder and a free port; the services of the system are not used. It ends with its test, and
// with this process, even if this process is killed (setpriv(1), --pdeathsig).
//
// If a program is not installed, its tests are skipped with a reason. Under CI, which installs the programs, they fail.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { freePort } from "../support/freePort.js";

/** Where Debian keeps what an ordinary user's PATH lacks. */
const FOLDERS = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", ...postgresFolders()];

function postgresFolders(): string[] {
  const versions = "/usr/lib/postgresql";
  if (!existsSync(versions)) return [];
  const newestFirst = readdirSync(versions).toSorted((a, b) => Number(b) - Number(a));
  return newestFirst.map((version) => join(versions, version, "bin"));
}

/** The path of a program, or undefined where it is not installed. */
export function find(program: string): string | undefined {
  return FOLDERS.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

/** False when all these programs are installed, else why a test that needs them is skipped. */
export function missing(packages: string, ...programs: readonly string[]): string | false {
  const absent = programs.filter((program) => find(program) === undefined);
  if (absent.length === 0) return false;
  const reason = `${absent.join(" and ")} not installed (Debian and Ubuntu: apt-get install ${packages})`;
  if (process.env["CI"]) throw new Error(reason);
  return reason;
}

/** What a program printed and how it ended. */
export interface Finished {
  readonly status: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, this process serving it meanwhile. */
export async function run(program: string, args: readonly string[], input?: string | Uint8Array): Promise<Finished> {
  const child = spawn(find(program)!, args, { killSignal: "SIGKILL", stdio: "pipe", timeout: 60_000 });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output.stderr += chunk.toString()));
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const [status, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return { status: signal ?? status!, ...output };
}

/** How to start a server. */
interface Recipe {
  readonly program: string;
  /** Its arguments, for its own folder and port. */
  readonly args: (folder: string, port: number) => readonly string[];
  /** The text that it prints when it accepts connections. */
  readonly ready: RegExp;
  /** What makes the folder fit for it. */
  readonly prepare?: (folder: string, port: number) => void;
  /** Whom it runs as when we are root, which some servers refuse to be. */
  readonly user?: string;
  /** Ends it in an orderly way. */
  readonly stop?: NodeJS.Signals;
}

/** How long a server may take to start or to end, in ms. */
const PATIENCE = 60_000;
/** Number of tries, because another program may bind the port first. */
const TRIES = 3;

/** `setpriv` and its words: as `user`, if we may choose, and with an end when this process ends. */
function privileges(user: string | undefined, signal: string): string[] {
  const as =
    user !== undefined && process.getuid?.() === 0 ? [`--reuid=${user}`, `--regid=${user}`, "--init-groups"] : [];
  return ["setpriv", ...as, `--pdeathsig=${signal}`];
}

/** A running server of other people. `await using` ends it and removes its folder. */
export class Server implements AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #stop: NodeJS.Signals;

  private constructor(folder: string, port: number, child: ChildProcess, stop: NodeJS.Signals) {
    this.folder = folder;
    this.port = port;
    this.#child = child;
    this.#stop = stop;
  }

  static async start(recipe: Recipe): Promise<Server> {
    for (let tries = 1; ; tries++) {
      try {
        return await Server.#try(recipe);
      } catch (error) {
        if (tries === TRIES) throw error;
      }
    }
  }

  static async #try(recipe: Recipe): Promise<Server> {
    const { user, stop = "SIGTERM" } = recipe;
    const folder = mkdtempSync(join(tmpdir(), "berkeley-ecosystem-"));
    try {
      if (user !== undefined && process.getuid?.() === 0) chownSync(folder, idOf(user, "-u"), idOf(user, "-g"));
      const port = await freePort();
      recipe.prepare?.(folder, port);
      const [command, ...words] = [...privileges(user, stop), find(recipe.program)!, ...recipe.args(folder, port)];
      const child = spawn(command!, words, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
      const server = new Server(folder, port, child, stop);
      try {
        await server.#ready(recipe.ready);
      } catch (error) {
        await server.#end();
        throw error;
      }
      return server;
    } catch (error) {
      rmSync(folder, { force: true, recursive: true });
      throw error;
    }
  }

  async #ready(pattern: RegExp): Promise<void> {
    let said = "";
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`it is not ready after ${PATIENCE} ms:\n${said}`)), PATIENCE);
      const hear = (chunk: Buffer): void => {
        said += chunk.toString();
        if (!pattern.test(said)) return;
        clearTimeout(timer);
        resolve();
      };
      // All output is read. Otherwise a full pipe would block the server.
      this.#child.stdout!.on("data", hear);
      this.#child.stderr!.on("data", hear);
      this.#child.once("error", reject);
      this.#child.once("close", () => {
        clearTimeout(timer);
        reject(new Error(`it ended before it was ready:\n${said}`));
      });
    });
  }

  async #end(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const closed = once(child, "close");
    child.kill(this.#stop);
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
    await closed;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    rmSync(this.folder, { force: true, recursive: true });
  }
}

function idOf(user: string, flag: "-u" | "-g"): number {
  const { status, stdout } = spawnSync("id", [flag, user], { encoding: "utf8" });
  if (status !== 0) throw new Error(`there is no user ${user}`);
  return Number(stdout);
}

/** A redis-server that keeps nothing; `redis.sock` of its folder is its UNIX socket. */
export function startRedis(): Promise<Server> {
  return Server.start({
    program: "redis-server",
    args: (folder, port) => [
      "--port",
      String(port),
      "--bind",
      "127.0.0.1",
      "--unixsocket",
      join(folder, "redis.sock"),
      "--save",
      "",
      "--appendonly",
      "no",
      "--dir",
      folder,
      "--daemonize",
      "no",
    ],
    ready: /Ready to accept connections/,
  });
}

/** A PostgreSQL whose user `postgres` needs no password; its folder has its UNIX socket. */
export function startPostgres(): Promise<Server> {
  // The server itself refuses to be root's.
  const user = "postgres";
  return Server.start({
    program: "postgres",
    prepare: (folder) => {
      const initdb = [find("initdb")!, "-D", join(folder, "data"), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"];
      const [command, ...words] = [...privileges(user, "SIGKILL"), ...initdb, "--locale=C"];
      const { status, stdout, stderr } = spawnSync(command, words, {
        cwd: folder,
        encoding: "utf8",
        timeout: PATIENCE,
      });
      if (status !== 0) throw new Error(`initdb ended with ${String(status)}:\n${stdout}${stderr}`);
    },
    args: (folder, port) => [
      "-D",
      join(folder, "data"),
      "-p",
      String(port),
      "-k",
      folder,
      "-h",
      "127.0.0.1",
      "-F",
      "-c",
      "shared_buffers=16MB",
      "-c",
      "max_connections=10",
      "-c",
      "logging_collector=off",
    ],
    ready: /database system is ready to accept connections/,
    user,
    stop: "SIGINT",
  });
}

/** A mosquitto without authentication, over TCP. */
export function startMosquitto(): Promise<Server> {
  return Server.start({
    program: "mosquitto",
    // With a port and no file it listens on this machine only, and requires no password.
    args: (_, port) => ["-p", String(port), "-v"],
    ready: /mosquitto version [\d.]+ running/,
  });
}
