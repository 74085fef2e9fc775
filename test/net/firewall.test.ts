// accept(2) fails for single connections (EPERM by a firewall, ECONNABORTED), and the loops over connections continue.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Program } from "../support/program.js";

/** Every other accept4(2) refuses the connection, which is gone then. */
const shim = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
static int count;
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
  int accepted = ((int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4"))(fd, address, length, flags);
  if (accepted < 0 || count++ % 2 != 0) return accepted;
  close(accepted);
  errno = atoi(getenv("REFUSAL"));
  return -1;
}
`;
const folder = mkdtempSync(join(tmpdir(), "berkeley-firewall-"));
const library = join(folder, "shim.so");
writeFileSync(join(folder, "shim.c"), shim);
execFileSync("cc", ["-shared", "-fPIC", "-o", library, join(folder, "shim.c"), "-ldl"]);
after(() => rmSync(folder, { recursive: true }));

/** Servers; each sets its address, and how to end it. */
const programs: Record<string, string> = {
  "forward()": `
    import { forward } from "berkeley";
    const forwarder = await forward("tcp://127.0.0.1:0", "tcp://127.0.0.1:" + process.env.TARGET);
    globalThis.address = forwarder.address;
    globalThis.end = () => forwarder.close();
  `,
  "the iterator of Socket": `
    import { Socket } from "berkeley";
    const server = new Socket();
    await server.bind("127.0.0.1:0");
    server.listen();
    globalThis.address = server.getsockname();
    (async () => { for await (const [conn] of server) { await conn.sendAll("served"); conn.close(); } })();
    globalThis.end = () => server.close();
  `,
  "the iterator of a listener": `
    import { listen } from "berkeley";
    const listener = await listen("tcp://127.0.0.1:0");
    globalThis.address = listener.address;
    (async () => { for await (const stream of listener) { await stream.write("served"); await stream.close(); } })();
    globalThis.end = () => listener.close();
  `,
};
const clients = `
  const results = [];
  for (let i = 0; i < 6; i++) {
    const { Socket } = await import("berkeley");
    const client = new Socket();
    await client.connect(globalThis.address);
    results.push(String(await client.recv(10, { timeout: 10_000 }).catch((error) => error.code)));
    client.close();
  }
  console.log(results.join(" "));
  await globalThis.end();
`;

for (const [name, program] of Object.entries(programs)) {
  for (const [code, number] of [
    ["EPERM", 1],
    ["ECONNABORTED", 103],
  ] as const) {
    test(`${name} goes on after ${code}`, async () => {
      // In this process, where no connection is refused.
      const target = createServer((conn) => conn.on("error", () => {}).end("served")).listen(0, "127.0.0.1");
      await once(target, "listening");
      try {
        const env = {
          // Behind what is there already, such as the runtime of a sanitizer.
          LD_PRELOAD: [process.env["LD_PRELOAD"], library].filter(Boolean).join(" "),
          REFUSAL: String(number),
          TARGET: String((target.address() as AddressInfo).port),
        };
        await using child = new Program(process.execPath, ["--input-type=module", "-e", program + clients], { env });
        const { status, stdout, stderr } = await child.ended;
        assert.deepEqual([status, stderr], [0, ""]);
        const results = stdout.trimEnd().split(" ");
        assert.deepEqual([results.length, results.filter((result) => result === "served").length], [6, 3], stdout);
      } finally {
        target.close();
      }
    });
  }
}
