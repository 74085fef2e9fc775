// The documents: the target of each link exists, and prose has at most 120 columns.
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { checkLeaks } from "./support/leaks.js";

checkLeaks();

const root = fileURLToPath(new URL("../..", import.meta.url));
const isPage = (name: string): boolean => name.endsWith(".md");
const pages = [
  ...readdirSync(root).filter(isPage),
  ...readdirSync(join(root, "docs"))
    .filter(isPage)
    .map((name) => join("docs", name)),
];

/** The lines of a page outside of its blocks of code. */
function proseOf(text: string): string[] {
  let fence: string | undefined;
  return text.split("\n").filter((line) => {
    const [, ticks] = /^ *(`{3,})/.exec(line) ?? [];
    if (ticks === undefined) return fence === undefined;
    fence = fence === undefined ? ticks : fence === ticks ? undefined : fence;
    return false;
  });
}

/** The anchor of a heading on GitHub and similar sites: lower case, without punctuation, "-" for each space. */
function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replace(/\s/g, "-");
}

function anchorsOf(text: string): Set<string> {
  return new Set(
    proseOf(text).flatMap((line) => {
      const [, heading] = /^#+ (.*)$/.exec(line) ?? [];
      return heading === undefined ? [] : [anchorOf(heading)];
    }),
  );
}

/**
 * The links of a page whose target does not exist. `read` returns the text of a file, or undefined if there is none.
 */
function brokenLinks(page: string, read: (path: string) => string | undefined): string[] {
  const prose = proseOf(read(page) ?? "").join("\n");
  const links = /(?:\]\(|\bsrc(?:set)?=")([^)"#\s]*)(?:#([^)"\s]*))?[)"]/g;
  return [...prose.matchAll(links)].flatMap(([, target = "", anchor]) => {
    if (/^[a-z]+:/.test(target)) return [];
    const file = target === "" ? page : normalize(join(dirname(page), target));
    const text = read(file);
    const exists = text !== undefined && (anchor === undefined || anchorsOf(text).has(anchor));
    return exists ? [] : [`${target}${anchor === undefined ? "" : `#${anchor}`}`];
  });
}

const readFile = (path: string): string | undefined =>
  existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : undefined;

test("the targets of the links in the documents exist", () => {
  assert.ok(pages.includes("README.md") && pages.includes(join("docs", "errors.md")));
  for (const page of pages) assert.deepEqual(brokenLinks(page, readFile), [], page);
});

test("a link to a missing file or heading is found", () => {
  const files = new Map([
    [
      "README.md",
      "# A b\n[1](docs/c.md#d-e) [2](docs/c.md) [3](#a-b) [4](https://x.test/#y)\n```md\n[5](none.md)\n```\n",
    ],
    ["docs/c.md", "## `d()`, e!\n[1](../README.md#a-b) [2](../README.md#c) [3](f.md)\n"],
    ["docs/d.md", '<source srcset="a.svg">\n<img src="b.svg" alt="B">\n'],
    ["docs/a.svg", "<svg/>"],
  ]);
  const read = (path: string): string | undefined => files.get(path);
  assert.deepEqual(brokenLinks("README.md", read), []);
  assert.deepEqual(brokenLinks("docs/c.md", read), ["../README.md#c", "f.md"]);
  assert.deepEqual(brokenLinks("docs/d.md", read), ["b.svg"]);
});

test("prose has at most 120 columns", () => {
  for (const page of pages) {
    // A script writes the second half of docs/python.md, with a list of constants on one line.
    const [byHand = ""] = (readFile(page) ?? "").split("<!-- node scripts/parity.mjs");
    const long = proseOf(byHand).filter((line) => line.length > 120 && !line.startsWith("|"));
    assert.deepEqual(long, [], page);
  }
});

test("README.md has at most 130 lines, and begins with the installation", () => {
  const text = readFile("README.md") ?? "";
  assert.ok(text.split("\n").length <= 131, `${text.split("\n").length} lines`);
  const order = [
    "npm install berkeley",
    "```ts",
    "## Why not `node:net`?",
    "## What is promised",
    "## Platforms",
    "## Documents",
  ];
  const places = order.map((part) => text.indexOf(part));
  assert.ok(places.every((place) => place >= 0));
  assert.deepEqual(
    places,
    places.toSorted((one, other) => one - other),
  );
});
