// The JSON output of the commands about this machine and its networks, and their errors, as golden files.
import { test } from "node:test";
import { AF_INET, SOCK_DGRAM, Socket } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { checkGolden } from "./golden.js";
import { run } from "./support.js";

checkLeaks();

const errors: readonly (readonly string[])[] = [
  ["sockets", "--state", "listn"],
  ["sockets", "--port", "http"],
  ["sockets", "--watch", "often"],
  ["sockets", "tcp"],
  ["resolve"],
  ["resolve", "127.1"],
  ["resolve", "localhost", "-4", "-6"],
  ["options"],
  ["options", "tpc://localhost:1"],
  ["options", "0", "TCP_NODELEY"],
  ["options", "0", "--seqpacket"],
  ["options", "systemd:web"],
  ["options", "fd:0", "--connect"],
  ["options", "127.0.0.1:1", "--connect"],
  ["scan", "localhost"],
  ["scan", "localhost", "80-70"],
  ["scan", "192.0.2.1", "80"],
  ["scan", "127.0.0.1", "1", "--rate", "0"],
  ["ping"],
  ["ping", "1.2.3"],
  ["ping", "localhost", "--interval", "0"],
  ["ping", "localhost", "--size", "65508"],
  ["trace", ""],
  ["trace", "localhost", "--max-hops", "256"],
];

test("errors of command lines are those of the golden file", async () => {
  const lines: string[] = [];
  for (const args of errors) {
    const { status, stderr, stdout } = await run(args, { input: "" });
    lines.push(`$ berkeley ${args.join(" ")}`, `${stdout}${stderr.trimEnd()}`, `status ${status}`, "");
  }
  checkGolden("errors-machine.txt", lines.join("\n"));
});

test("--json of the commands is that of the golden file", async () => {
  const parts: string[] = [];
  using socket = new Socket(AF_INET, SOCK_DGRAM);
  await socket.bind(["127.0.0.1", 0]);
  const { port } = socket.getsockname() as { port: number };
  for (const args of [
    ["sockets", "-u", "--port", String(port)],
    ["resolve", "127.0.0.1"],
    ["options", "0", "SO_TYPE", "TCP_NODELAY", "IP_MTU"],
    ["scan", "127.0.0.1", "1", "--all"],
    ["ping", "127.0.0.1", "--count", "1"],
    ["trace", "127.0.0.1", "--queries", "2"],
  ]) {
    const { stdout, stderr } = await run([...args, "--json"]);
    const steady = `${stdout}${stderr}`
      .replaceAll(/"(time|min|avg|max|mdev|pid|fd|inode|uid|\w*[lL]imit)":[\d.]+/g, '"$1":N')
      // The name of this program depends on the version of Node.
      .replaceAll(/"name":"[^"]*"(?=,"pid":)/g, '"name":"PROGRAM"')
      .replaceAll(String(port), "PORT");
    parts.push(`$ berkeley ${args.join(" ").replaceAll(String(port), "PORT")} --json`, steady);
  }
  checkGolden("json-machine.txt", parts.join("\n"));
});
