// Installs tools that only one command needs. Each has a package.json and a lock file in a folder of tools/.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folderOf = (name) => join(dirname(dirname(fileURLToPath(import.meta.url))), "tools", name);
const packagesOf = (file) => JSON.parse(readFileSync(file, "utf8")).packages;

/** Whether node_modules has the versions of the lock file, as npm records them in .package-lock.json. */
function installed(folder) {
  const record = join(folder, "node_modules", ".package-lock.json");
  if (!existsSync(record)) return false;
  const have = packagesOf(record);
  return Object.entries(packagesOf(join(folder, "package-lock.json"))).every(
    ([path, { integrity, optional }]) => path === "" || optional === true || have[path]?.integrity === integrity,
  );
}

/**
 * Installs the packages of tools/NAME if necessary, and returns the path of their node_modules. `foreign` also allows
 * packages for another platform, which npm refuses otherwise.
 */
export function installTools(name, { foreign = false } = {}) {
  const folder = folderOf(name);
  const modules = join(folder, "node_modules");
  if (installed(folder)) return modules;
  process.stderr.write(`npm install in tools/${name}\n`);
  const npm = process.env.npm_execpath;
  const viaNode = npm !== undefined && /npm-cli\.[cm]?js$/.test(npm);
  const args = ["install", "--no-save", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  if (foreign) args.push("--force");
  const env = { ...process.env };
  // `npm run` sets this variable to the root of the project, and npm would install there.
  delete env.npm_config_local_prefix;
  const { error, status, stderr, stdout } = spawnSync(
    viaNode ? process.execPath : "npm",
    viaNode ? [npm, ...args] : args,
    { cwd: folder, encoding: "utf8", env },
  );
  if (status !== 0 || !installed(folder)) {
    process.stderr.write(`${stdout ?? ""}${stderr ?? ""}tools: npm install in tools/${name} failed`);
    process.stderr.write(error === undefined ? "\n" : `: ${error.message}\n`);
    process.exit(1);
  }
  return modules;
}
