// Runs tests with an addon that gcc or clang has compiled with AddressSanitizer and UndefinedBehaviorSanitizer.
//
//   npm run test:sanitize                       the tests in `folders`
//   npm run test:sanitize -- reactor/ sync/     only the test files whose path contains one of these
//
// The tests that measure the memory of the process run a second time, without AddressSanitizer's quarantine, which
// keeps freed memory. All other tests run with it, because it finds uses of freed memory.
//
// Every process writes its reports into out/sanitize. A report of any process fails the run, even if all tests pass.
// Leaks are not reported, because Node itself frees little memory at its end, and the addon's leaks would be few among
// many.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileShared, compiler, fail, root, run, sources, test } from "./variant.mjs";

const folders = [
  "native",
  "reactor",
  "sys",
  "batch",
  "cmsg",
  "netdb",
  "ops",
  "options",
  "sync",
  "socket",
  "net",
  "tls",
  "stream",
].map((name) => `test/${name}/`);
/** Tests that measure the memory of the process, which would include AddressSanitizer's quarantine. */
const measuring = { file: "test/netdb/resolver.test", name: "leaks no memory" };
const output = join(root, "out", "sanitize");
const addon = join(output, "berkeley.node");
// Undefined behavior traps, and AddressSanitizer reports the trap with its stack. The runtime of
// UndefinedBehaviorSanitizer is not used, because in one process the two runtimes of gcc write their reports to
// different places.
const flags = "-g -O1 -fsanitize=address,undefined -fsanitize-undefined-trap-on-error -fno-omit-frame-pointer".split(
  " ",
);

const clang = /clang/.test(run(compiler, ["--version"]));

/** The library of AddressSanitizer, which the dynamic loader must load before all others. */
function runtime() {
  const name = clang ? `libclang_rt.asan-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so` : "libasan.so";
  const file = run(compiler, [`-print-file-name=${name}`]).trim();
  if (!existsSync(file)) fail(`sanitize: ${compiler} has no ${name}`);
  return file;
}

const shared = clang ? [...flags, "-shared-libsan"] : flags;
const report = join(output, "report");
const env = {
  BERKELEY_ADDON: addon,
  LD_PRELOAD: [process.env.LD_PRELOAD, runtime()].filter(Boolean).join(" "),
  // Node handles SIGSEGV itself, for accesses of WebAssembly beyond the end of its memory.
  ASAN_OPTIONS: `detect_leaks=0:log_path=${report}:handle_sigill=1:allow_user_segv_handler=1:detect_stack_use_after_return=1`,
};

const reports = () => readdirSync(output).filter((name) => name.startsWith("report."));

/**
 * Runs an addon with two faults in it. Both must be reported; otherwise a run without reports would prove nothing.
 */
function checkThatFaultsAreReported() {
  const planted = join(output, "planted.node");
  const source = join(output, "planted.c");
  writeFileSync(
    source,
    `#include <node_api.h>
#include <stdlib.h>
static napi_value init(napi_env env, napi_value exports) {
  (void)env;
  volatile int large = 2147483647;
  if (getenv("OVERFLOW") != NULL) large += 1;
  volatile size_t size = 16;
  volatile char *memory = malloc(size);
  memory[size] = (char)large;
  free((void *)memory);
  return exports;
}
NAPI_MODULE(planted, init)
`,
  );
  compileShared(planted, [source], shared);
  const planting = { ...process.env, ...env };
  for (const { more, fault } of [
    { more: {}, fault: "heap-buffer-overflow" },
    { more: { OVERFLOW: "1" }, fault: "AddressSanitizer: ILL" },
  ]) {
    spawnSync(process.execPath, ["-e", `require(${JSON.stringify(planted)})`], { env: { ...planting, ...more } });
    const said = reports().map((name) => readFileSync(join(output, name), "utf8"));
    if (!said.some((text) => text.includes(fault) && text.includes("planted.c:"))) {
      fail(`sanitize: a planted fault was not reported: ${fault}`);
    }
    for (const name of reports()) rmSync(join(output, name));
  }
  process.stdout.write("sanitize: a planted heap-buffer-overflow and a signed integer overflow are reported\n");
}

rmSync(output, { force: true, recursive: true });
mkdirSync(output, { recursive: true });
compileShared(addon, sources, shared);
checkThatFaultsAreReported();
const given = process.argv.slice(2);
const chosen = given.some((word) => !word.startsWith("-")) ? given : [...folders, ...given];
let status = await test(chosen, env);
if (chosen.some((word) => measuring.file.includes(word.replace(/\.[jt]s$/, "")))) {
  process.stdout.write("sanitize: the tests that measure memory, without the quarantine\n");
  // Each thread has a quarantine of its own as well.
  const options = `${env.ASAN_OPTIONS}:quarantine_size_mb=0:thread_local_quarantine_size_kb=0`;
  const words = [measuring.file, `--test-name-pattern=${measuring.name}`];
  status = (await test(words, { ...env, ASAN_OPTIONS: options })) || status;
}
for (const name of reports()) process.stdout.write(`\nsanitize: ${name}\n${readFileSync(join(output, name), "utf8")}`);
process.stdout.write(`sanitize: ${reports().length} reports, tests ${status === 0 ? "passed" : "failed"}\n`);
process.exit(reports().length > 0 ? 1 : status);
