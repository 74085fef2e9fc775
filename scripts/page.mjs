// Builds the page of the inspector: Rolldown joins page/ and the packages that it imports.
//
//   node scripts/page.mjs            writes out/inspect/page/, where the compiled inspector reads it
//
// The page has four files: index.html, and page.js, page.css and icon.svg in assets/. The browser loads nothing else.
// page.js begins with the licences of the packages in it. The build fails if the compressed files have more than 120
// kB.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const from = join(root, "page");

/** The packages in the page. The build fails if the page imports another one, because its licence would be missing. */
export const PAGE_PACKAGES = ["preact", "uplot", "@tanstack/virtual-core"];
/** Maximum number of bytes of all files together, each compressed by gzip. */
export const PAGE_LIMIT = 120_000;

const packageOf = (id) => /[/\\]node_modules[/\\]((?:@[^/\\]+[/\\])?[^/\\]+)/.exec(id)?.[1].replaceAll("\\", "/");

function licences() {
  return PAGE_PACKAGES.map((name) => {
    const folder = join(root, "node_modules", name);
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const licence = readFileSync(join(folder, "LICENSE"), "utf8").trim().replaceAll("*/", "* /");
    return `/*! ${name} ${version}\n\n${licence}\n*/\n`;
  }).join("");
}

async function script() {
  const build = await rolldown({
    input: join(from, "main.tsx"),
    cwd: from,
    platform: "browser",
    tsconfig: join(from, "tsconfig.json"),
    transform: { define: { "process.env.NODE_ENV": '"production"' } },
    checks: { pluginTimings: false },
    onLog(level, log) {
      if (level === "warn") throw new Error(`Cannot bundle the page: ${log.message}`);
    },
  });
  const { output } = await build.generate({ format: "esm", minify: true, comments: false, codeSplitting: false });
  await build.close();
  if (output.length !== 1) throw new Error(`Cannot bundle the page: it has ${output.length} files, required 1`);
  for (const id of output[0].moduleIds) {
    const name = packageOf(id);
    if (name !== undefined && !PAGE_PACKAGES.includes(name))
      throw new Error(`Cannot bundle the page: ${name} is not in its list`);
  }
  return licences() + output[0].code;
}

const plainCss = (text) =>
  text
    .replace(/\/\*[^]*?\*\//g, "")
    .replace(/\s+/g, " ")
    .replace(/ ?([{};,]) ?/g, "$1")
    .trim();

function style() {
  const plots = readFileSync(join(root, "node_modules", "uplot", "dist", "uPlot.min.css"), "utf8");
  return `${plots.trim()}\n${plainCss(readFileSync(join(from, "style.css"), "utf8"))}\n`;
}

/** Writes the files into a folder. Returns the compressed size of each. */
export async function writePage(folder) {
  const files = {
    "index.html": readFileSync(join(from, "index.html"), "utf8"),
    "assets/page.js": await script(),
    "assets/page.css": style(),
    "assets/icon.svg": readFileSync(join(from, "icon.svg"), "utf8"),
  };
  const sizes = Object.fromEntries(Object.entries(files).map(([name, text]) => [name, gzipSync(text).length]));
  const sum = Object.values(sizes).reduce((total, size) => total + size, 0);
  if (sum > PAGE_LIMIT)
    throw new Error(`Cannot write the page: it has ${sum} bytes compressed, required at most ${PAGE_LIMIT}`);
  rmSync(folder, { force: true, recursive: true });
  mkdirSync(join(folder, "assets"), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return { ...sizes, sum };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    const sizes = await writePage(join(root, "out", "inspect", "page"));
    const shown = Object.entries(sizes).map(([name, size]) => `${name} ${size}`);
    process.stdout.write(`page: bytes compressed: ${shown.join(", ")} (limit ${PAGE_LIMIT})\n`);
  } catch (error) {
    process.stderr.write(`page: ${error.message}\n`);
    process.exit(1);
  }
}
