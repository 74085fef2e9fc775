// Makes packed/: the unpacked tarball of `npm pack` in packed/node_modules, and the compiled tests, examples and
// benchmarks. A program in packed/ that imports "berkeley" uses the package as it is shipped.
//
//   node scripts/packed.mjs              makes it; npm test does so before the tests
//   node scripts/packed.mjs --if-stale   makes it, unless it was made from the present compiled files
//
// If `npm run prebuild` has made the prebuilt addons from the present sources, the tarball has these. Otherwise they
// are removed from packed/, and the package gets the addon that setup.mjs built, as if a user had built it there.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const packed = join(root, "packed");
const installed = join(packed, "node_modules", "berkeley");
/** Written last. If it exists, packed/ is complete. */
const stamp = join(packed, ".made-of");

function run(what, command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  if (status === 0) return stdout;
  throw new Error(`${what} failed: ${error?.message ?? `status ${status}`}\n${stdout ?? ""}${stderr ?? ""}`);
}

/** Runs npm: the npm that started this script, or the first on the PATH. */
export function npm(args) {
  const own = process.env.npm_execpath;
  const viaNode = own !== undefined && /npm-cli\.[cm]?js$/.test(own);
  return run(`npm ${args[0]}`, viaNode ? process.execPath : "npm", viaNode ? [own, ...args] : args);
}

/** Packs the package into `folder`. Returns the description that npm prints, and the path of the tarball. */
export function pack(folder) {
  mkdirSync(folder, { recursive: true });
  const [description] = JSON.parse(npm(["pack", "--ignore-scripts", "--json", "--pack-destination", folder]));
  return { ...description, path: join(folder, description.filename) };
}

/** The hash of everything that the code in packed/ is made from. The documents of the package do not count. */
function madeOf() {
  const folder = join(root, "prebuilds");
  const prebuilds = (existsSync(folder) ? readdirSync(folder) : []).filter((name) => name.endsWith(".node")).toSorted();
  const files = [
    "package.json",
    "scripts/bundle.mjs",
    "scripts/bundled.mjs",
    "scripts/packed.mjs",
    "scripts/amalgam.mjs",
    "scripts/shippedCode.mjs",
    "scripts/page.mjs",
    "out/.setup",
    "out/inspect/.setup",
    "build/Release/berkeley.node",
    ...prebuilds.map((name) => `prebuilds/${name}`),
  ];
  const sum = createHash("sha256");
  for (const file of files) {
    const content = createHash("sha256").update(readFileSync(join(root, file)));
    sum.update(`${file}\0`).update(content.digest());
  }
  return sum.digest("hex");
}

/** Whether packed/ was made from the present compiled files. */
export function isCurrent() {
  return existsSync(stamp) && readFileSync(stamp, "utf8") === madeOf();
}

/** Makes packed/. */
export function stage() {
  const sum = madeOf();
  rmSync(packed, { force: true, recursive: true });
  run("bundling", process.execPath, [join(root, "scripts", "bundle.mjs")]);
  const tarball = pack(packed).path;
  mkdirSync(installed, { recursive: true });
  run("unpacking", "tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);
  const { status } = spawnSync(process.execPath, [join(root, "scripts", "prebuild.mjs"), "--check"], { cwd: root });
  if (status !== 0) {
    rmSync(join(installed, "prebuilds"), { force: true, recursive: true });
    mkdirSync(join(installed, "build", "Release"), { recursive: true });
    cpSync(join(root, "build", "Release", "berkeley.node"), join(installed, "build", "Release", "berkeley.node"));
  }
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  writeFileSync(
    join(packed, "package.json"),
    `${JSON.stringify({ name: "packed", private: true, type: "module", dependencies: { berkeley: version } })}\n`,
  );
  for (const folder of ["test", "examples", "bench"]) {
    cpSync(join(root, "out", folder), join(packed, folder), {
      recursive: true,
      filter: (path) => !path.endsWith(".d.ts") && path !== join(root, "out", "bench", "made"),
    });
  }
  writeFileSync(stamp, sum);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (process.argv[2] !== "--if-stale" || !isCurrent()) stage();
}
