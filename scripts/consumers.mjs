// The tools of tools/consumers: checkers of the package, and the bundlers and runtimes of users. They are large, so
// `npm test` does not use them.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { npm } from "./packed.mjs";

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), "tools", "consumers");
const modules = join(folder, "node_modules");

function isInstalled() {
  const have = join(modules, ".package-lock.json");
  if (!existsSync(have)) return false;
  const { packages } = JSON.parse(readFileSync(have, "utf8"));
  const locked = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")).packages;
  return Object.entries(locked).every(
    ([path, entry]) => path === "" || packages[path]?.version === entry.version || entry.optional || entry.peer,
  );
}

/** Installs the locked versions if necessary. Returns the path of their node_modules. */
export function installConsumers() {
  if (!isInstalled()) {
    npm(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder]);
    if (!isInstalled()) throw new Error("the packages of tools/consumers are not those of its package-lock.json");
  }
  return modules;
}
