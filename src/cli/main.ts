#!/usr/bin/env node
// The entry of the command line. A module is loaded only when a command uses the module, so `--version` costs little
// more than starting Node.

import { readFileSync } from "node:fs";

const argv = process.argv.slice(2);
const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
const { version } = JSON.parse(manifest) as { version: string };
if (argv[0] === "--version" || argv[0] === "-V") process.stdout.write(`berkeley ${version}\n`);
else {
  const { start } = await import("./frame/start.js");
  await start(argv, version);
}
