// Publishes the package: npm run release [-- --dry-run]
//
// It runs the gate, the tests and the checks on the tarball, and then `npm publish`. With --dry-run, npm only prints
// what it would publish. Without --dry-run, package.json must have the addresses of the repository, the home page and
// the issues. The web page of npm needs the repository for the relative links of README.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values: options } = parseArgs({ options: { "dry-run": { type: "boolean", default: false } } });
const dry = options["dry-run"];

function fail(message) {
  process.stderr.write(`release: ${message}\n`);
  process.exit(1);
}

function step(what, command, args) {
  process.stdout.write(`release: ${what}\n`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) fail(`${what} failed: ${error?.message ?? `status ${status}`}`);
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const missing = ["repository", "homepage", "bugs"].filter((field) => manifest[field] === undefined);
if (!dry && missing.length > 0) {
  fail(`Cannot publish ${manifest.name}@${manifest.version}: package.json lacks ${missing.join(", ")}; set them first`);
}

const changes = readFileSync(join(root, "CHANGELOG.md"), "utf8");
if (!dry && !new RegExp(`^## \\[?${manifest.version.replaceAll(".", "\\.")}\\b`, "m").test(changes)) {
  fail(`Cannot publish ${manifest.name}@${manifest.version}: CHANGELOG.md has no section "## ${manifest.version}"`);
}

const { stdout: unsaved } = spawnSync("git", ["status", "--porcelain"], { cwd: root, encoding: "utf8" });
if (!dry && unsaved !== "") fail(`Cannot publish: these files are not committed:\n${unsaved}`);

step("the gate", process.execPath, ["scripts/check.mjs"]);
step("the checks on the tarball", process.execPath, ["scripts/packCheck.mjs"]);
// npm runs the script "prepack" and packs the package again.
step(dry ? "npm publish --dry-run" : "npm publish", "npm", [
  "publish",
  "--access",
  "public",
  ...(dry ? ["--dry-run"] : []),
]);
if (dry && missing.length > 0)
  process.stdout.write(`release: before publishing, set ${missing.join(", ")} in package.json\n`);
