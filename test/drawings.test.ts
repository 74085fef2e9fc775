// The drawings of the documents: scripts/drawings.mjs writes the committed files, in readable SVG with a title.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { checkLeaks } from "./support/leaks.js";

checkLeaks();

const root = fileURLToPath(new URL("../..", import.meta.url));
const images = join(root, "docs", "images");
/** The pictures of the inspector are made by scripts/screenshots.mjs, of a program that runs. */
// The plots of docs/performance.md are made from measurements.
const names = readdirSync(images)
  .filter((name) => name.endsWith(".svg") && !name.startsWith("performance-"))
  .toSorted();
const read = (folder: string, name: string): string => readFileSync(join(folder, name), "utf8");

test("scripts/drawings.mjs writes the drawings of docs/images, and no others are there", () => {
  const folder = mkdtempSync(join(tmpdir(), "berkeley-drawings-"));
  try {
    execFileSync(process.execPath, [join(root, "scripts", "drawings.mjs"), "--folder", folder]);
    assert.deepEqual(readdirSync(folder).toSorted(), names);
    assert.ok(names.length >= 6, names.join(", "));
    for (const name of names)
      assert.ok(read(folder, name) === read(images, name), `${name} is not what the script writes`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("each drawing has a light and a dark file with the same words, a title and a description", () => {
  const words = (name: string): string[] =>
    [...read(images, name).matchAll(/<text [^>]*>([^<]+)</g)].map(([, text = ""]) => text);
  for (const light of names.filter((name) => name.endsWith("-light.svg"))) {
    const dark = light.replace("-light", "-dark");
    assert.ok(words(light).length > 8, light);
    assert.deepEqual(words(dark), words(light));
    assert.notEqual(read(images, dark), read(images, light));
    for (const name of [light, dark]) {
      const text = read(images, name);
      assert.match(
        text,
        /<svg [^>]*role="img" aria-labelledby="title description">\n<title id="title">[^<]+<\/title>\n/,
        name,
      );
      assert.match(text, /<desc id="description">[^<]{40,}<\/desc>/, name);
      assert.doesNotMatch(text, /<image|<script|href=/, name);
    }
  }
});

test("docs/tutorial.md shows every drawing, and has a text in place of each", () => {
  const page = read(join(root, "docs"), "tutorial.md");
  for (const name of names) assert.ok(page.includes(`images/${name}"`), name);
  const texts = [...page.matchAll(/<img src="images\/[^"]+" alt="([^"]+)">/g)].map(([, text = ""]) => text);
  assert.equal(texts.length * 2, names.length);
  assert.ok(texts.every((text) => text.length > 60));
});
