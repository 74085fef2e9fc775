// The package under the module systems and tools of its users. Each has a project of its own, with the packed package
// in it. `npm run test:tools` runs this file, and makes the folder of the projects, BERKELEY_PROJECTS.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";

const projects = process.env.BERKELEY_PROJECTS;
assert.ok(projects, "BERKELEY_PROJECTS is not set: use npm run test:tools");
const tools = join(projects, "node_modules");
const major = Number(process.versions.node.split(".")[0]);

/** How long a tool may take, in ms. It must end by itself: a server that was closed holds nothing. */
const LIMIT = 60_000;

/** Makes a project of these files, each with its text; the path of its folder. */
function project(name, files, manifest = { type: "module" }) {
  const folder = join(projects, name);
  const all = { "package.json": JSON.stringify({ name, private: true, ...manifest }), ...files };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  cpSync(join(projects, "berkeley"), join(folder, "node_modules", "berkeley"), { recursive: true });
  return folder;
}

function run(cwd, args, env = {}) {
  const inherited = { ...process.env };
  delete inherited.NODE_TEST_CONTEXT;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd,
      env: { ...inherited, NO_COLOR: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: LIMIT,
      killSignal: "SIGKILL",
    });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status: signal ?? status, output }));
  });
}

async function passes(cwd, args, env) {
  const { status, output } = await run(cwd, args, env);
  assert.equal(status, 0, output);
  return output;
}

const conversation = `
  const server = new Socket();
  await server.bind("127.0.0.1:0");
  server.listen();
  const client = new Socket();
  await client.connect(server.getsockname());
  const [conn] = await server.accept();
  const heard = conn.recv(100);
  await client.sendAll("hello");
  const said = (await heard).toString();
  for (const socket of [server, client, conn]) socket.close();
`;
const program = `import { Socket } from "berkeley";\n${conversation}\nconsole.log(said);\n`;

describe("module systems", () => {
  test("an ES module imports every entry", async () => {
    const folder = project("esm", {
      "main.js": `${program}
        import * as sync from "berkeley/sync";
        import * as testing from "berkeley/testing";
        import * as servers from "berkeley/server";
        import * as wintertc from "berkeley/wintertc";
        for (const entry of [servers, sync, testing, wintertc]) if (Object.keys(entry).length === 0) throw new Error("empty entry");`,
    });
    assert.match(await passes(folder, ["main.js"]), /^hello$/m);
  });

  test("CommonJS requires the package where Node can require ES modules", async () => {
    const text = `const { Socket } = require("berkeley");\n(async () => {${conversation}\nconsole.log(said);\n})();`;
    const folder = project("cjs", { "main.cjs": text }, {});
    const { status, output } = await run(folder, ["main.cjs"]);
    if (process.features.require_module) {
      assert.equal(status, 0, output);
      assert.match(output, /^hello$/m);
    } else {
      assert.match(output, /ERR_REQUIRE_ESM/);
    }
  });

  test("CommonJS imports the package with import()", async () => {
    const text = `import("berkeley").then(async ({ Socket }) => {${conversation}\nconsole.log(said);\n});`;
    assert.match(await passes(project("cjs-import", { "main.cjs": text }, {}), ["main.cjs"]), /^hello$/m);
  });
});

describe("TypeScript", () => {
  const source = `
    import { AF_INET, connect, listen, Socket, SocketError, SOCK_STREAM, type Address, type Conn, type Stream } from "berkeley";
    import { Socket as BlockingSocket } from "berkeley/sync";
    import { memoryPair } from "berkeley/testing";
    import { connect as wintertcConnect } from "berkeley/wintertc";

    export async function main(): Promise<void> {
      const socket: Socket = new Socket(AF_INET, SOCK_STREAM);
      const name: Address = socket.getsockname();
      const stream: Stream = await connect("tcp://localhost:1", { timeout: 1 });
      const line: string | null = await stream.readLine();
      const [near]: readonly Conn[] = memoryPair();
      const blocking: number = new BlockingSocket().send("x");
      console.log(name.family, line, near, blocking, wintertcConnect, listen, SocketError);
      // @ts-expect-error a port is no string
      socket.listen("5");
    }
  `;
  // The parts of these test files that are only compiled.
  const typesOf = (file) => {
    const [compiled] = readFileSync(new URL(file, import.meta.url), "utf8").split('\ntest("');
    return compiled.replace(/^(?:import (?:assert|\{ test \}|\{ checkLeaks \}) .*|checkLeaks\(\);)$/gm, "");
  };
  const schemes = typesOf("../net/types.test.ts");
  const addresses = typesOf("../socket/addressTypes.test.ts");
  const codes = typesOf("../socket/errorCodes.test.ts");
  for (const version of ["5.5", "5.9", "7"]) {
    for (const resolution of ["nodenext", "bundler"]) {
      test(`TypeScript ${version} with moduleResolution ${resolution} takes the declarations, strict and checked`, async () => {
        const compilerOptions = {
          module: resolution === "nodenext" ? "nodenext" : "esnext",
          moduleResolution: resolution,
          target: "es2022",
          lib: ["es2023", "esnext.disposable"],
          types: ["node"],
          strict: true,
          noUncheckedIndexedAccess: true,
          skipLibCheck: false,
          noEmit: true,
        };
        const folder = project(`typescript-${version}-${resolution}`, {
          "main.ts": source,
          "schemes.ts": schemes,
          "addresses.ts": addresses,
          "codes.ts": codes,
          "tsconfig.json": JSON.stringify({
            compilerOptions,
            files: ["main.ts", "schemes.ts", "addresses.ts", "codes.ts"],
          }),
        });
        const tsc = join(tools, `typescript-${version}`, version === "7" ? "bin/tsc" : "lib/tsc.js");
        await passes(folder, [tsc, "-p", "."]);
      });
    }
  }
});

/** Bundles main.js of a project with esbuild, everything in one file. */
async function bundleWithEsbuild(folder, format, outfile) {
  const options = { entryPoints: ["main.js"], bundle: true, platform: "node", format, outfile, logLevel: "error" };
  writeFileSync(
    join(folder, "build.mjs"),
    `import { build } from "esbuild";\nawait build(${JSON.stringify(options)});\n`,
  );
  await passes(folder, ["build.mjs"]);
}

describe("bundlers", () => {
  test("a bundle of esbuild finds the addon in the project's node_modules", async () => {
    const folder = project("esbuild", { "main.js": program });
    await bundleWithEsbuild(folder, "esm", "out/main.mjs");
    assert.match(await passes(folder, ["out/main.mjs"]), /^hello$/m);
  });

  test("a bundle of esbuild in the format of CommonJS does, too", async () => {
    const text = `import { Socket } from "berkeley";\n(async () => {${conversation}\nconsole.log(said);\n})();`;
    const folder = project("esbuild-cjs", { "main.js": text });
    await bundleWithEsbuild(folder, "cjs", "out/main.cjs");
    assert.match(await passes(folder, ["out/main.cjs"]), /^hello$/m);
  });

  test("a bundle that lies elsewhere takes the addon that BERKELEY_ADDON names", async () => {
    const folder = project("esbuild-elsewhere", { "main.js": program });
    const elsewhere = mkdtempSync(join(tmpdir(), "berkeley-bundle-"));
    try {
      await bundleWithEsbuild(folder, "esm", join(elsewhere, "main.mjs"));
      const without = await run(elsewhere, ["main.mjs"]);
      assert.equal(without.status, 1);
      assert.match(without.output, /BERKELEY_ADDON/);
      assert.match(await passes(elsewhere, ["main.mjs"], { BERKELEY_ADDON: process.env.BERKELEY_BUILT }), /^hello$/m);
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });

  for (const noExternal of [false, true]) {
    test(`a build of Vite for Node ${noExternal ? "with everything inlined" : "leaves the package outside"}`, async () => {
      const folder = project(`vite-${noExternal}`, {
        "main.js": program,
        "vite.config.js": `export default { ssr: { ${noExternal ? "noExternal: true" : ""} }, build: { ssr: "main.js", outDir: "out" } };`,
      });
      await passes(folder, [join(tools, "vite", "bin", "vite.js"), "build", "--logLevel", "warn"]);
      assert.match(await passes(folder, ["out/main.js"]), /^hello$/m);
    });
  }
});

describe("single executable applications", () => {
  test("a program with its addon as an asset runs where nothing is installed", async () => {
    const folder = project("sea", {
      // The addon must be a file: dlopen(3) takes no bytes. This module comes before the package, in the bundle as
      // well.
      "addon.js": `
        import { mkdtempSync, writeFileSync } from "node:fs";
        import { createRequire } from "node:module";
        import { tmpdir } from "node:os";
        import { join } from "node:path";
        const { getRawAsset } = createRequire(__filename)("node:sea");
        const file = join(mkdtempSync(join(tmpdir(), "berkeley-sea-")), "berkeley.node");
        writeFileSync(file, new Uint8Array(getRawAsset("berkeley.node")));
        process.env.BERKELEY_ADDON = file;`,
      "main.js": `import "./addon.js";\nimport { rmSync } from "node:fs";\nimport { dirname } from "node:path";
        import { Socket } from "berkeley";
        rmSync(dirname(process.env.BERKELEY_ADDON), { recursive: true });
        (async () => {${conversation}\nconsole.log(said);\n})();`,
      "sea.json": JSON.stringify({
        main: "out/main.cjs",
        output: "out/main.blob",
        disableExperimentalSEAWarning: true,
        assets: { "berkeley.node": process.env.BERKELEY_BUILT },
      }),
    });
    await bundleWithEsbuild(folder, "cjs", "out/main.cjs");
    await passes(folder, ["--experimental-sea-config", "sea.json"]);
    const executable = join(folder, "out", "program");
    cpSync(process.execPath, executable);
    const fuse = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";
    const postject = join(tools, "postject", "dist", "cli.js");
    await passes(folder, [postject, executable, "NODE_SEA_BLOB", "out/main.blob", "--sentinel-fuse", fuse]);
    const { status, stdout, stderr } = spawnSync(executable, { cwd: tmpdir(), encoding: "utf8", timeout: LIMIT });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^hello$/m);
  });
});

// Two files, so that a tool that runs both in one process evaluates the package twice there.
const testFiles = (head, ending) =>
  Object.fromEntries(
    ["first", "second"].map((name) => [
      `${name}.test.${ending}`,
      `${head}\nimport { Socket } from "berkeley";\ntest("${name}", async () => {${conversation}\n` +
        `  if (said !== "hello") throw new Error(said);\n});\n`,
    ]),
  );

describe("runners of tests and programs end by themselves", () => {
  test("tsx", async () => {
    const folder = project("tsx", { "main.ts": program.replace("const said =", "const said: string =") });
    assert.match(await passes(folder, [join(tools, "tsx", "dist", "cli.mjs"), "main.ts"]), /^hello$/m);
  });

  for (const flags of [
    [],
    ["--pool=threads"],
    ["--pool=threads", "--no-isolate", "--no-file-parallelism"],
    ["--pool=forks", "--no-isolate", "--no-file-parallelism"],
    ["--pool=vmThreads"],
  ]) {
    test(`vitest ${flags.join(" ")}`, async () => {
      const folder = project(`vitest${flags.join("")}`, testFiles('import { test } from "vitest";', "js"));
      const output = await passes(folder, [join(tools, "vitest", "vitest.mjs"), "run", ...flags]);
      assert.match(output, /Tests\s+2 passed/);
      assert.doesNotMatch(output, /something prevents|close timed out/i);
    });
  }

  for (const flags of [["--runInBand"], ["--maxWorkers=2"]]) {
    test(`jest ${flags.join(" ")}`, async () => {
      const folder = project(`jest${flags.join("")}`, {
        ...testFiles("", "js"),
        "jest.config.js": "export default { transform: {} };",
      });
      const args = ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning"];
      if (major < 22) args.pop();
      const output = await passes(folder, [...args, join(tools, "jest", "bin", "jest.js"), ...flags]);
      assert.match(output, /Tests:\s+2 passed/);
      assert.doesNotMatch(output, /did not exit|open handle/i);
    });
  }

  test("node --test", async () => {
    const folder = project("node-test", testFiles('import { test } from "node:test";', "js"));
    assert.match(await passes(folder, ["--test"]), /pass 2/);
  });

  test("node --test in one process", { skip: major < 22 ? "Node has it from version 22" : false }, async () => {
    const folder = project("node-test-one", testFiles('import { test } from "node:test";', "js"));
    const flag = major < 24 ? "--experimental-test-isolation=none" : "--test-isolation=none";
    assert.match(await passes(folder, ["--test", flag]), /pass 2/);
  });
});
