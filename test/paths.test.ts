// The files and names in "Five calls, file by file" of docs/design.md exist, and the names in CONTRIBUTING.md.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(join(root, "docs", "design.md"), "utf8");
const section = page.slice(page.indexOf("### Five calls, file by file"), page.indexOf("**The poller** ("));

/** The steps of the section: `1. \`src/socket/socket.ts\`: \`recv\`, \`send\``. */
const steps = [...section.matchAll(/^ *\d+\. `([\w./-]+)`: ((?:`[\w#.]+`(?:, )?)+)/gm)].map(
  ([, file = "", names = ""]) => ({
    file,
    names: [...names.matchAll(/`([\w#.]+)`/g)].map(([, name = ""]) => name),
  }),
);

test("docs/design.md has the paths of five calls", () => {
  assert.deepEqual(
    [...section.matchAll(/^\*\*`(.+)`/gm)].map(([, call]) => call),
    [
      "socket.recv(1024)",
      "socket.sendmsg(data, { control })",
      "server.accept()",
      "stream.readLine()",
      'connect("tls://…")',
    ],
  );
  assert.ok(steps.length >= 25, `${steps.length} steps`);
});

for (const { file, names } of steps) {
  test(`${file} has ${names.join(", ")}`, () => {
    assert.ok(existsSync(join(root, file)), file);
    const text = readFileSync(join(root, file), "utf8");
    for (const name of names) assert.match(text, new RegExp(`(?<![\\w$])${name}(?![\\w$])`), name);
  });
}

test("the names of functions and fields in CONTRIBUTING.md exist", () => {
  const text = readFileSync(join(root, "CONTRIBUTING.md"), "utf8");
  const names = new Set([...text.matchAll(/`([a-z]+[A-Z]\w*)(?:\(\))?`/g)].map(([, name = ""]) => name));
  const words = new Set<string>();
  for (const folder of ["src", "page", "scripts", join("test", "support")]) {
    for (const file of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!/\.(?:ts|mjs)$/.test(file)) continue;
      for (const [word] of readFileSync(join(root, folder, file), "utf8").matchAll(/\w+/g)) words.add(word);
    }
  }
  assert.ok(names.size >= 15, `${names.size} names`);
  assert.deepEqual(
    [...names].filter((name) => !words.has(name)),
    [],
  );
});
