// The JSON output of commands, and their errors, as golden files in test/cli/golden/.
import { test } from "node:test";
import { connect, connectUdp, listen } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { checkGolden } from "./golden.js";
import { listening, run, start } from "./support.js";

checkLeaks();

/** What differs from run to run: ports and times. */
function steady(text: string): string {
  return text
    .replaceAll(/(127\.0\.0\.1|localhost):[1-9]\d*/g, "$1:PORT")
    .replaceAll(/"milliseconds":[\d.]+/g, '"milliseconds":N')
    .replaceAll(/"port":[1-9]\d*/g, '"port":PORT')
    .replaceAll(/"sha256":"[\da-f]+"/g, '"sha256":"SUM"');
}

const errors: readonly (readonly string[])[] = [
  ["conect", "localhost:1"],
  ["--jsn"],
  ["connect"],
  ["connect", "localhost:1", "--udq"],
  ["connect", "tpc://localhost:1"],
  ["connect", "localhost"],
  ["connect", "localhost:70000"],
  ["connect", "127.1:80"],
  ["connect", "udp://localhost:1", "--tls"],
  ["connect", "localhost:1", "--seqpacket"],
  ["connect", "localhost:1", "--timeout", "soon"],
  ["connect", "localhost:1", "--option", "SO_RCVBFU=1"],
  ["connect", "localhost:1", "--option", "SO_RCVBUF=many"],
  ["connect", "localhost:1", "--option", "SO_RCVBUF=-0x10"],
  ["connect", "localhost:1", "--source", "127.1"],
  ["connect", "localhost:1", "--ca", "/nowhere"],
  ["listen", "0", "--max", "0"],
  ["listen", "*:0", "--exec", "sh"],
  ["listen", "tls://127.0.0.1:0", "--key", "/nowhere"],
  ["send", "localhost:1", "\\q"],
  ["file", "recieve", "0"],
  ["file", "send", "/nowhere", "localhost:1"],
  ["echo", "0", "--color", "alwasy"],
  ["discard", "0", "--idle", "-1"],
  ["chargen"],
  ["daytime", "0", "--cuont", "1"],
  ["chat", "0", "--max-backlog", "lots"],
  ["proxy", "0"],
  ["proxy", "0", "localhost:1", "--drop", "2"],
  ["proxy", "0", "localhost:1", "--record", "/nowhere/x"],
  ["inspect"],
  ["inspect", "--port", "0", "--", "node"],
  ["inspect", "--port", "80", "--headless", "--", "node"],
  ["inspect", "--record", "/nowhere/x", "--", "node"],
  ["inspect", "--", "/nowhere/program"],
  ["replay", "x.pcapng"],
  ["replay", "/nowhere/x.pcapng", "0"],
  ["replay", "/dev/null", "0"],
  ["steps", "--port", "99999"],
  ["man", "conect"],
  ["completion", "bsh"],
];

test("errors of command lines are those of the golden file", async () => {
  const lines: string[] = [];
  for (const args of errors) {
    const { status, stderr, stdout } = await run(args, { input: "" });
    lines.push(`$ berkeley ${args.join(" ")}`, `${stdout}${stderr.trimEnd()}`, `status ${status}`, "");
  }
  checkGolden("errors.txt", lines.join("\n"));
});

test("--json of the commands is that of the golden file", async () => {
  const parts: string[] = [];
  const add = (name: string, stdout: string): void => {
    parts.push(`$ berkeley ${name}`, steady(stdout));
  };
  for (const [name, talk] of [
    ["echo", "hi"],
    ["discard", "hi"],
  ] as const) {
    await using program = start([name, "0", "--json", "--count", "1"]);
    await using stream = await connect(await listening(program));
    await stream.write(talk);
    await stream.closeWrite();
    for await (const chunk of stream) chunk.toString();
    add(`${name} 0 --json --count 1`, (await program.ended).stdout);
  }
  {
    await using program = start(["echo", "--udp", "0", "--json", "--count", "1"]);
    await using socket = await connectUdp(await listening(program));
    await socket.send("hi");
    await socket.receive();
    add("echo --udp 0 --json --count 1", (await program.ended).stdout);
  }
  {
    await using listener = await listen("tcp://127.0.0.1:0");
    await using program = start(["connect", String(listener.address), "--json"], { input: "ask\n" });
    await using stream = await listener.accept();
    await stream.readLine();
    await stream.write("answer\n");
    await stream.close();
    add("connect 127.0.0.1:PORT --json", (await program.ended).stdout);
  }
  {
    await using program = start(["listen", "0", "--json"], { input: "" });
    await using stream = await connect(await listening(program));
    await stream.write(Buffer.from([0xff]));
    await stream.close();
    add("listen 0 --json", (await program.ended).stdout);
  }
  {
    await using echo = start(["echo", "0", "--count", "2"]);
    const target = await listening(echo);
    add("send 127.0.0.1:PORT hello --json", (await run(["send", target, "hello", "--json"])).stdout);
    await using proxy = start(["proxy", "0", target, "--json", "--count", "1"]);
    await run(["send", await listening(proxy), "hello"]);
    add("proxy 0 127.0.0.1:PORT --json --count 1", (await proxy.ended).stdout);
  }
  add("connect 127.0.0.1:1 --json", (await run(["connect", "127.0.0.1:1", "--json"], { input: "" })).stderr);
  add("connect tpc://x:1 --json", (await run(["connect", "tpc://x:1", "--json"], { input: "" })).stderr);
  checkGolden("json.txt", parts.join("\n"));
});
