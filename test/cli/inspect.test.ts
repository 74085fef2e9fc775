// The commands `inspect` and `replay`.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect, InetAddress, listen } from "berkeley";
import { Capture, TcpFlow } from "berkeley/pcapng";
import { checkLeaks } from "../support/leaks.js";
import { complaints, follow } from "../support/tshark.js";
import { listening, missing, objects, run, start } from "./support.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-inspect-cli-"));
after(() => rmSync(folder, { recursive: true }));

/** Arguments that run a program with node. */
const node = (program: string): string[] => [
  "--",
  process.execPath,
  "--input-type=module",
  "--eval",
  program,
  "an argument",
];

test("inspect prints the address of a page that answers, and the program keeps its output and its status", async () => {
  const program = `
    import { listen } from "berkeley";
    const listener = await listen("tcp://127.0.0.1:0");
    console.log("listening", process.argv.at(-1));
    const visitor = await listener.accept();
    await visitor.close();
    await listener.close();
    process.exitCode = 7;`;
  await using inspected = start(["inspect", ...node(program)]);
  const [, url = ""] = await inspected.line(/^berkeley: the inspector of process \d+ is at (\S+)$/, "stderr");
  await inspected.line(/^listening an argument$/);
  const asked = get(url.replace("/?", "/api/sockets?"), { agent: false });
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  const [row] = JSON.parse(text) as { local: string; state: string }[];
  assert.equal(row?.state, "LISTEN");
  await using visitor = await connect(`tcp://${row.local}`);
  await visitor.read();
  const { status, stdout } = await inspected.ended;
  assert.deepEqual([status, stdout], [7, "listening an argument\n"]);
});

test("inspect --json prints the table as JSON lines, and the output of the program goes to standard error", async () => {
  const program = `
    import { socketpair } from "berkeley";
    const [left, right] = socketpair();
    await left.sendAll("hello");
    console.log("printed");`;
  const { status, stdout, stderr } = await run(["inspect", "--json", ...node(program)]);
  assert.deepEqual([status, stderr], [0, "printed\n"]);
  const updates = objects(stdout) as unknown as { whole: boolean; changed: { sent: { bytes: number } }[] }[];
  assert.equal(updates[0]!.whole, true);
  assert.deepEqual(
    updates
      .at(-1)!
      .changed.map(({ sent }) => sent.bytes)
      .toSorted((a, b) => b - a),
    [5, 0],
  );
});

test("inspect --output writes a file, which it empties first", async () => {
  const file = join(folder, "lines.jsonl");
  writeFileSync(file, "old\n");
  const { status } = await run([
    "inspect",
    "--output",
    file,
    ...node(`import { Socket } from "berkeley"; new Socket();`),
  ]);
  assert.equal(status, 0);
  assert.equal(objects(readFileSync(file, "utf8")).length > 0, true);
});

test("inspect passes a signal on, and its status is that of the program", async () => {
  const waits = `process.on("SIGTERM", () => process.exit(5)); setInterval(() => {}, 1000); console.log("ready");`;
  await using polite = start(["inspect", ...node(waits)]);
  await polite.line(/^ready$/);
  polite.child.kill("SIGTERM");
  assert.equal((await polite.ended).status, 5);
  await using plain = start(["inspect", ...node(`setInterval(() => {}, 1000); console.log("ready");`)]);
  await plain.line(/^ready$/);
  plain.child.kill("SIGINT");
  assert.equal((await plain.ended).status, 130);
});

test("inspect keeps the NODE_OPTIONS of the environment, and sets its own variables only for the program", async () => {
  const program = `console.log(process.execArgv.length, process.title, process.env.BERKELEY_INSPECT_PORT ?? "none");`;
  const { stdout } = await run(["inspect", ...node(program)], {
    env: { NODE_OPTIONS: "--title=kept", BERKELEY_INSPECT_PORT: "1" },
  });
  assert.match(stdout, /^\d+ kept none\n$/);
});

test(
  "a recorded client is replayed against its server, and a changed answer is found",
  { skip: missing("tshark") },
  async () => {
    const file = join(folder, "client.pcapng");
    await using echo = start(["echo", "0", "--count", "2"]);
    const endpoint = await listening(echo);
    const program = `
    import { connect } from "berkeley";
    const stream = await connect(${JSON.stringify(endpoint)});
    for (const text of ["first", "second", "third"]) {
      await stream.write(text);
      await stream.readExactly(text.length);
    }
    await stream.close();`;
    const recorded = await run(["inspect", "--output", join(folder, "x.jsonl"), "--record", file, ...node(program)]);
    assert.equal(recorded.status, 0, recorded.stderr);
    assert.equal(complaints(file), "");
    assert.equal(String(follow(file).server), "firstsecondthird");
    const replayed = await run(["replay", file, endpoint, "--json"]);
    assert.deepEqual([replayed.status, replayed.stderr], [0, ""]);
    const [{ sent, received } = {}] = objects(replayed.stdout);
    assert.deepEqual([sent, received], [16, 16]);
    await using listener = await listen("tcp://127.0.0.1:0");
    const serving = (async () => {
      await using stream = await listener.accept();
      await stream.readExactly(5);
      await stream.write("firs!");
      await stream.read();
    })();
    const changed = await run(["replay", file, `tcp://${listener.address}`]);
    await serving;
    assert.equal(changed.status, 1);
    assert.match(changed.stderr, /^berkeley: the answer differs from byte 4 on: it has 21, and the recorded one 74\n$/);
  },
);

test("bytes that a capture does not have: those of the server are only counted, those of a client are refused", async () => {
  const write = (name: string, cutSide: "client" | "server"): string => {
    const blocks: Buffer[] = [];
    const capture = new Capture({ write: (block) => blocks.push(block) });
    const [client, server] = [new InetAddress("127.0.0.1", 50_000), new InetAddress("127.0.0.1", 80)];
    const flow = new TcpFlow(capture.addInterface(), { client, server });
    flow.data("client", Buffer.from("GET"));
    flow.data("server", Buffer.from("head"));
    flow.data(cutSide, new Uint8Array(0), { length: 100_000 });
    flow.data("server", Buffer.from("tail"));
    const file = join(folder, name);
    writeFileSync(file, Buffer.concat(blocks));
    return file;
  };
  await using listener = await listen("tcp://127.0.0.1:0");
  const serving = (async () => {
    for (const length of [100_000, 99_000]) {
      await using stream = await listener.accept();
      await stream.readExactly(3);
      await stream.write("head");
      await stream.write(Buffer.alloc(length, "x"));
      await stream.write("tail");
    }
  })();
  const endpoint = `tcp://${listener.address}`;
  const file = write("server-cut.pcapng", "server");
  const { status, stdout } = await run(["replay", file, endpoint]);
  assert.equal(status, 0);
  assert.match(stdout, /^sent 3 bytes and received 100008, /);
  const short = await run(["replay", file, endpoint]);
  await serving;
  assert.equal(short.status, 1);
  assert.equal(short.stderr, "berkeley: the answer ends after 99008 bytes, and the recorded one goes on\n");
  const refused = await run(["replay", write("client-cut.pcapng", "client"), endpoint]);
  assert.equal(refused.status, 1);
  assert.equal(refused.stderr, "berkeley: the capture lacks 100000 of the bytes that the client sent\n");
});

test("datagrams are replayed one by one, and files that are no capture are refused", async () => {
  const file = join(folder, "udp.pcapng");
  await using echo = start(["echo", "--udp", "0", "--count", "4"]);
  const endpoint = await listening(echo);
  const program = `
    import { connectUdp } from "berkeley";
    const socket = await connectUdp(${JSON.stringify(endpoint)});
    for (const text of ["a", "bc"]) {
      await socket.send(text);
      await socket.receive();
    }
    socket.close();`;
  await run(["inspect", "--output", join(folder, "y.jsonl"), "--record", file, ...node(program)]);
  const { status, stdout, stderr } = await run(["replay", file, endpoint]);
  assert.deepEqual([status, stderr], [0, ""]);
  assert.match(
    stdout,
    /^sent 3 bytes and received 3, all as recorded between 127\.0\.0\.1:\d+ and 127\.0\.0\.1:\d+\n$/,
  );
  const wrong = join(folder, "wrong.pcapng");
  writeFileSync(wrong, readFileSync(file).subarray(0, -3));
  const cut = await run(["replay", wrong, endpoint]);
  assert.equal(cut.status, 1);
  assert.match(cut.stderr, /Cannot read a capture: at offset \d+ a block is cut off/);
});
