// Runs the tests under several versions of Node, which npm installs into out/nodes:
//
//   npm run test:nodes                           20, 22, 24 and 26
//   npm run test:nodes -- 26                     one of them
//   npm run test:nodes -- 24 -- reactor/ net/    passes the arguments after the second -- to npm test
//
// The addon uses Node-API, so one build works with all versions.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { npm } from "./packed.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, "out", "nodes");

/** The versions that the package supports: the newest release of each is tested. */
export const VERSIONS = ["20", "22", "24", "26"];

const program = (version) =>
  join(folder, version, "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node");

/** The programs that are installed here, oldest first. */
export function nodesInstalled() {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .toSorted((one, other) => Number(one) - Number(other))
    .map(program)
    .filter((path) => existsSync(path));
}

/** Installs Node `version` ("26") if necessary. Returns the path of the program. */
export function installNode(version) {
  const path = program(version);
  if (existsSync(path)) return path;
  const place = join(folder, version);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, "package.json"), '{ "private": true }\n');
  // The install script of the package `node` would install this package. Installed directly, it needs no script.
  const name = `node-${process.platform}-${process.arch}@${version}`;
  npm(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", place, name]);
  if (!existsSync(path)) throw new Error(`npm installed ${name}, but ${path} is missing`);
  return path;
}

function testUnder(version, args) {
  const own = process.versions.node.split(".")[0] === version;
  const node = own ? process.execPath : installNode(version);
  process.stdout.write(`test:nodes: node ${spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim()}\n`);
  // Tests start some programs by the name `node`. These must have the same version.
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` };
  return (
    spawnSync(node, [join(root, "scripts", "test.mjs"), ...args], { cwd: root, env, stdio: "inherit" }).status ?? 1
  );
}

function main(given) {
  const split = given.indexOf("--");
  const args = split < 0 ? [] : given.slice(split + 1);
  const wanted = split < 0 ? given : given.slice(0, split);
  const unknown = wanted.find((version) => !VERSIONS.includes(version));
  if (unknown !== undefined) {
    process.stderr.write(`test:nodes: Cannot test under ${JSON.stringify(unknown)}: required ${VERSIONS.join(", ")}\n`);
    return 2;
  }
  const results = (wanted.length > 0 ? wanted : VERSIONS).map((version) => [version, testUnder(version, args)]);
  for (const [version, status] of results) {
    process.stdout.write(`test:nodes: node ${version}: ${status === 0 ? "passed" : `failed with status ${status}`}\n`);
  }
  return results.every(([, status]) => status === 0) ? 0 : 1;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exit(main(process.argv.slice(2)));
}
