// The peers that have to be installed: Bun, Deno and a newer Node from npm, Go and uvloop from Debian. `npm run bench
// -- --install-peers` installs them. A peer that is not installed is not measured, and the benchmark prints a line
// about it.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

import { outputs, peerPrograms, peerSources } from "./paths.js";
import type { Program } from "./servers.js";

const run = promisify(execFile);

const platform = `${process.platform}-${process.arch}`;
/** The npm packages that contain the programs, with their versions. */
const packages: Readonly<Record<"bun" | "deno" | "node", readonly [spec: string, program: string]>> = {
  bun: [`@oven/bun-${platform}@1.4.5`, `@oven/bun-${platform}/bin/bun`],
  deno: [`@deno/${platform}-glibc@2.9.6`, `@deno/${platform}-glibc/deno`],
  node: [`node-${platform}@26.12.1`, `node-${platform}/bin/node`],
};
const debian: Readonly<Record<"go" | "uvloop", string>> = { go: "golang-go", uvloop: "python3-uvloop" };

/** The Python for which Debian's packages are installed. Another Python may be the first on the PATH. */
const debianPython = "/usr/bin/python3";

/** The names of these peers. */
export type PeerName = keyof typeof packages | keyof typeof debian;

/** The peers that have an echo server, with their names as subjects. */
export const otherRuntimes: readonly { readonly name: string; readonly peer: PeerName }[] = [
  { name: "bun", peer: "bun" },
  { name: "deno", peer: "deno" },
  { name: "go", peer: "go" },
  { name: "uvloop", peer: "uvloop" },
  { name: "node:net 26", peer: "node" },
];

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function onPath(command: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    if (folder !== "" && (await exists(join(folder, command)))) return join(folder, command);
  }
  return undefined;
}

/** The path of a program from npm; undefined if it is not installed. */
async function installed(name: keyof typeof packages): Promise<string | undefined> {
  const path = join(peerPrograms, "node_modules", packages[name][1]);
  return (await exists(path)) ? path : undefined;
}

async function found(name: PeerName): Promise<boolean> {
  if (name === "go") return (await onPath("go")) !== undefined;
  if (name === "uvloop") {
    return run(debianPython, ["-c", "import uvloop"]).then(
      () => true,
      () => false,
    );
  }
  return (await installed(name)) !== undefined;
}

/** The reason why a peer can't be measured; undefined if it can. */
export async function whyAbsent(name: PeerName): Promise<string | undefined> {
  return (await found(name)) ? undefined : "it is not installed; npm run bench -- --install-peers";
}

async function required(name: keyof typeof packages): Promise<string> {
  const path = await installed(name);
  if (path === undefined) throw new Error(`${name} is not installed; npm run bench -- --install-peers`);
  return path;
}

/** Compiles the Go program if its source has changed, because its name contains the hash of the source. */
async function compiledGo(): Promise<string> {
  const source = join(peerSources, "echo.go");
  const hash = createHash("sha256")
    .update(await readFile(source))
    .digest("hex");
  const program = join(outputs, `echo-go-${hash.slice(0, 16)}`);
  if (await exists(program)) return program;
  await mkdir(outputs, { recursive: true });
  const unfinished = `${program}.${process.pid}`;
  const env = { ...process.env, GOCACHE: join(outputs, "go-cache"), GO111MODULE: "off", CGO_ENABLED: "0" };
  await run("go", ["build", "-o", unfinished, source], { env });
  await rename(unfinished, program);
  return program;
}

/** The echo server of a peer. With the argument "collect" it runs a garbage collection for each line of its input. */
export function peerEcho(name: PeerName): Program {
  return async ({ bench }, ...parameters) => {
    switch (name) {
      case "bun":
        return [await required("bun"), "run", join(peerSources, "echo-bun.mjs"), ...parameters];
      case "deno": {
        const collector = parameters.includes("collect") ? ["--v8-flags=--expose-gc"] : [];
        const options = ["--allow-net", "--no-check", "--quiet", ...collector];
        return [await required("deno"), "run", ...options, join(peerSources, "echo-deno.mjs"), ...parameters];
      }
      case "node":
        return [await required("node"), ...collecting(parameters), join(bench, "servers", "tcp-echo-node.js")];
      case "go":
        return [await compiledGo(), ...parameters];
      default:
        return [debianPython, join(peerSources, "echo-uvloop.py"), ...parameters];
    }
  };
}

/** The option of Node that lets a script run a garbage collection. */
export function collecting(parameters: readonly string[]): string[] {
  return parameters.includes("collect") ? ["--expose-gc"] : [];
}

/** Installs all peers; `say` gets a line for each. */
export async function installPeers(say: (text: string) => void): Promise<void> {
  await mkdir(peerPrograms, { recursive: true });
  const manifest = join(peerPrograms, "package.json");
  if (!(await exists(manifest))) await writeFile(manifest, '{ "private": true }\n');
  const specs = Object.values(packages).map(([spec]) => spec);
  say(`npm install ${specs.join(" ")}`);
  const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", peerPrograms];
  await run("npm", ["install", ...options, ...specs]);
  const missing: string[] = [];
  for (const [name, deb] of Object.entries(debian)) {
    if (!(await found(name as PeerName))) missing.push(deb);
  }
  if (missing.length === 0) return;
  const command = ["apt-get", "install", "-y", "--no-install-recommends", ...missing];
  if (process.getuid?.() !== 0) {
    say(`not installed, because that needs root: ${command.join(" ")}`);
    return;
  }
  say(command.join(" "));
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run(command[0]!, command.slice(1), { env, maxBuffer: 1 << 26 });
}
