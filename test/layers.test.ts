// The sources follow the table of layers. test/support/layers.ts has the table and the check.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { policy, violations } from "./support/layers.js";

const src = fileURLToPath(new URL("../../src", import.meta.url));

test("src/ imports only what the table of layers allows", () => {
  const files = new Map(
    readdirSync(src, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .map((path) => [path, readFileSync(join(src, path), "utf8")]),
  );
  assert.ok(files.size > 0, `no source under ${src}`);
  assert.deepEqual(violations(files), []);
});

test("the table has no cycle of values", () => {
  const reach = (from: string, seen: readonly string[]): void => {
    assert.ok(!seen.includes(from), `${[...seen, from].join(" -> ")} is a cycle`);
    for (const to of policy[from]?.values ?? []) reach(to, [...seen, from]);
  };
  for (const layer of Object.keys(policy)) reach(layer, []);
});

const check = (path: string, text: string): string[] => violations(new Map([[path, text]]));

test("violations() allows what the table allows", () => {
  const fine: [path: string, text: string][] = [
    ["sys/errno.ts", 'import { addon } from "./addon.js";\nimport { own } from "./own.js";\nimport "node:os";\n'],
    ["io.ts", 'import type { Address } from "./addr/address.js";\n'],
    ["testing/fake.ts", 'import type {\n  Calls, // the table\n} from "../sys/calls.js";\n'],
    ["cli/main.ts", 'import { Socket } from "berkeley";\nconst sync = await import("berkeley/sync");\n'],
    ["index.ts", '// The face.\nexport { Socket } from "./socket/socket.js";\nexport type * from "./io.js";\n'],
    [
      "addr/ipv4.ts",
      '/**\n * @example\nimport { Socket } from "../socket/socket.js";\n */\nexport const a: string = "b";\n',
    ],
  ];
  for (const [path, text] of fine) assert.deepEqual(check(path, text), [], path);
});

test("violations() names each import that the table forbids", () => {
  const wrong: [path: string, text: string, expected: string][] = [
    [
      "sys/a.ts",
      'import { Socket } from "../socket/socket.js";',
      'sys/a.ts:1: sys may not import socket ("../socket/socket.js")',
    ],
    [
      "reactor/a.ts",
      '\nimport {\n  a,\n  b,\n} from "../socket/a.js";',
      'reactor/a.ts:2: reactor may not import socket ("../socket/a.js")',
    ],
    ["reactor/a.ts", 'export * from "../net/a.js";', 'reactor/a.ts:1: reactor may not import net ("../net/a.js")'],
    ["reactor/a.ts", 'import "../net/a.js";', 'reactor/a.ts:1: reactor may not import net ("../net/a.js")'],
    [
      "reactor/a.ts",
      'const a = await import("../net/a.js");',
      'reactor/a.ts:1: reactor may not import net ("../net/a.js")',
    ],
    ["reactor/a.ts", 'type A = import("../net/a.js").A;', 'reactor/a.ts:1: reactor may not import net ("../net/a.js")'],
    ["reactor/a.ts", "const a = await import(name);", "reactor/a.ts:1: a dynamic import names its module in a literal"],
    ["reactor/a.ts", 'import a from "lodash";', 'reactor/a.ts:1: reactor may not import the package "lodash"'],
    ["reactor/a.ts", 'import { a } from "berkeley";', 'reactor/a.ts:1: reactor may not import the package "berkeley"'],
    ["reactor/a.ts", 'import { a } from "../../test/a.js";', 'reactor/a.ts:1: "../../test/a.js" is outside src/'],
    [
      "cli/main.ts",
      'import { a } from "../socket/a.js";',
      'cli/main.ts:1: cli may not import socket ("../socket/a.js")',
    ],
    ["cli/main.ts", 'import { a } from "berkeleys";', 'cli/main.ts:1: cli may not import the package "berkeleys"'],
    [
      "testing/fake.ts",
      'import { type Calls } from "../sys/calls.js";',
      'testing/fake.ts:1: testing may import only types of sys, with "import type" ("../sys/calls.js")',
    ],
    ["helpers/a.ts", "", "helpers/a.ts:1: helpers is not a layer of the table"],
    ["helpers.ts", "", "helpers.ts:1: helpers is not a layer of the table"],
    ["reactor/a.ts", '\nconst a = load("./build/Release/berkeley.node");', "reactor/a.ts:2: only sys loads the addon"],
    ["reactor/a.ts", 'import { createRequire } from "node:module";', "reactor/a.ts:1: only sys loads the addon"],
    [
      "reactor/index.ts",
      'export * from "./a.js";\nexport const a = 1;',
      "reactor/index.ts:1: an index.ts only re-exports",
    ],
  ];
  for (const [path, text, expected] of wrong) assert.deepEqual(check(path, text), [expected], text);
});
