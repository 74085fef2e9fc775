// Tests the packed package with the module systems and tools of its users: npm run test:tools [-- FLAG OF THE
// RUNNER...]
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { installConsumers } from "./consumers.mjs";
import { stage } from "./packed.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
// Each project has the package in its node_modules, and finds the tools one folder above.
const projects = join(root, "out", "projects");

stage();
rmSync(projects, { force: true, recursive: true });
mkdirSync(projects, { recursive: true });
cpSync(join(root, "packed", "node_modules", "berkeley"), join(projects, "berkeley"), { recursive: true });
symlinkSync(installConsumers(), join(projects, "node_modules"));

const built = join(root, "build", "Release", "berkeley.node");
if (!existsSync(built)) throw new Error(`${built} is missing: run npm run setup`);
const { status } = spawnSync(
  process.execPath,
  [
    "--test",
    "--test-reporter=spec",
    "--test-timeout=300000",
    ...process.argv.slice(2),
    "test/consumers/tools.test.mjs",
  ],
  { cwd: root, stdio: "inherit", env: { ...process.env, BERKELEY_PROJECTS: projects, BERKELEY_BUILT: built } },
);
process.exit(status ?? 1);
