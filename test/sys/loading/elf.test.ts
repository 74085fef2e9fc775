// The functions of the loader without side effects: reading ELF headers, and the messages for a host.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { VERSION } from "#berkeley/sys/addon.js";
import { addonCandidates, candidateFault, findPackage } from "#berkeley/sys/loading/candidates.js";
import { parseElf, parseMark } from "#berkeley/sys/loading/elf.js";
import { currentLibc, libcOf, platformFault } from "#berkeley/sys/loading/host.js";
import { root } from "../../support/program.js";

const file = readFileSync(join(root, "build", "Release", "berkeley.node"));

test("parseElf() reads the machine, the kind and the length of our own addon", () => {
  const elf = parseElf(file);
  assert.deepEqual(elf, { arch: process.arch, sharedObject: true, interpreter: undefined, end: file.length });
  assert.equal(parseMark(file)?.version, VERSION);
});

test("parseElf() reads a program's dynamic loader", () => {
  const elf = parseElf(readFileSync("/proc/self/exe"));
  assert.equal(elf?.sharedObject, false);
  assert.match(elf?.interpreter ?? "", /\/ld-/);
});

test("parseElf() throws for no bytes", () => {
  for (let length = 0; length < 1200; length++) parseElf(file.subarray(0, length));
  for (let at = 0; at < 600; at++) {
    for (const value of [0, 1, 2, 0x7f, 0xff]) {
      const changed = Buffer.from(file.subarray(0, 2000));
      changed[at] = value;
      parseElf(changed);
    }
  }
});

test("parseElf() finds no shorter beginning of a file whole", () => {
  for (const length of [64, 100, 1000, 20_000, file.length - 1]) {
    const elf = parseElf(file.subarray(0, length));
    assert.ok(elf !== undefined && elf.end > length, `${length} bytes`);
  }
});

test("VERSION is that of package.json", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  assert.equal(VERSION, manifest.version);
});

test("libcOf() recognizes musl's dynamic loader in any folder", () => {
  assert.equal(libcOf("/lib/ld-musl-x86_64.so.1"), "musl");
  assert.equal(libcOf("/opt/sysroot/lib/ld-musl-aarch64.so.1"), "musl");
  assert.equal(libcOf("/lib64/ld-linux-x86-64.so.2"), "glibc");
  assert.equal(libcOf("/nix/store/abc-glibc-2.40/lib/ld-linux-aarch64.so.1"), "glibc");
  assert.equal(libcOf(undefined), undefined);
});

test("currentLibc() says what process.report says", () => {
  const report = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  assert.equal(currentLibc(), report.header.glibcVersionRuntime === undefined ? "musl" : "glibc");
});

test("unsupported() names the platform", () => {
  const on = (platform: string, arch: string): string | undefined => platformFault({ platform, arch })?.text;
  assert.equal(on("darwin", "arm64"), "the platform is darwin-arm64, required linux");
  assert.equal(on("win32", "x64"), "the platform is win32-x64, required linux");
  assert.equal(on("android", "arm64"), "the platform is android-arm64, required linux");
  assert.equal(on("linux", "riscv64"), undefined);
});

test("addonCandidates() has a local build first, then the shipped addon for this C library", () => {
  const paths = (...words: Parameters<typeof addonCandidates>): string[] =>
    addonCandidates(...words).map(({ path }) => path);
  assert.deepEqual(paths(undefined, "/p", "arm64", "musl"), [
    "/p/build/Release/berkeley.node",
    "/p/prebuilds/linux-arm64-musl.node",
  ]);
  assert.deepEqual(paths(undefined, "/p", "x64", undefined), [
    "/p/build/Release/berkeley.node",
    "/p/prebuilds/linux-x64-glibc.node",
  ]);
  assert.deepEqual(paths("/a/b.node", "/p", "x64", "glibc"), ["/a/b.node"]);
  assert.deepEqual(paths("b.node", undefined, "x64", "glibc"), [join(process.cwd(), "b.node")]);
  assert.deepEqual(paths(undefined, undefined, "x64", "glibc"), []);
});

test("candidateFault() accepts our own build, and only for the same version, machine and C library", () => {
  const libc = currentLibc();
  const path = join(root, "build", "Release", "berkeley.node");
  const local = { path, origin: "local", libc } as const;
  const other = libc === "musl" ? "glibc" : "musl";
  assert.equal(candidateFault(local, process.arch, VERSION), undefined);
  assert.equal(candidateFault(local, "s390x", VERSION)?.reason, "architecture");
  assert.equal(candidateFault(local, process.arch, "0.0.1")?.reason, "version");
  assert.equal(candidateFault({ ...local, libc: other }, process.arch, VERSION)?.reason, "libc");
  assert.equal(candidateFault({ ...local, libc: undefined }, process.arch, VERSION), undefined);
});

test("candidateFault() describes each wrong file", () => {
  const folder = mkdtempSync(join(tmpdir(), "berkeley-elf-"));
  try {
    const path = join(folder, "a.node");
    const examined = (content: Buffer | string, of = path): string | undefined => {
      writeFileSync(of, content);
      return candidateFault({ path: of, origin: "prebuilt", libc: currentLibc() }, process.arch, VERSION)?.reason;
    };
    const at = file.indexOf("berkeley-addon ", 0, "latin1");
    const unmarked = Buffer.from(file);
    unmarked.fill("x", at, at + 15);
    const program = Buffer.from(file);
    program.writeUInt16LE(2, 16);
    assert.equal(examined(file), undefined);
    assert.equal(examined(""), "truncated");
    assert.equal(examined(file.subarray(0, 50)), "truncated");
    assert.equal(examined(file.subarray(0, file.length - 1)), "truncated");
    assert.equal(examined("console.log(1)"), "foreign");
    assert.equal(examined(unmarked), "foreign");
    assert.equal(examined(program), "foreign");
    assert.equal(examined(file, join(folder, "a.so")), "foreign");
    const of = (name: string): string | undefined =>
      candidateFault({ path: join(folder, name), origin: "prebuilt", libc: undefined }, process.arch, VERSION)?.reason;
    assert.equal(of("none.node"), "missing");
    assert.equal(of("a.node/none.node"), "missing");
    symlinkSync("loop.node", join(folder, "loop.node"));
    assert.equal(of("loop.node"), "unreadable");
    mkdirSync(join(folder, "folder.node"));
    assert.equal(of("folder.node"), "foreign");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("findPackage() finds the folder from anywhere below it", () => {
  const folder = root.replace(/\/$/, "");
  // The last one may have a package.json of ours above it that has no addon beside it.
  for (const below of ["dist/index.js", "addon.js", "dist/chunks/deep/er/a.js", "out/lib/sys/addon.js"]) {
    assert.equal(findPackage(`file://${folder}/${below}`), folder);
  }
  assert.equal(findPackage("file:///proc/1/x.js"), undefined);
});
