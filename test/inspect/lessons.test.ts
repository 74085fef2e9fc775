// The lessons of the tour, through their requests: the reports of steps are observed, and a run leaves nothing open.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { sockets, startInspector } from "berkeley/inspect";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";

const inspector = await startInspector();
after(() => inspector.close());
// After the hook above, which closes the server.
checkLeaks();

/** The shapes of src/inspect/protocol.ts, as far as they are looked at. */
interface Seen {
  readonly name: string;
  readonly state: string;
  readonly receiveQueue: number | null;
  readonly sendQueue: number | null;
  readonly acceptQueue: { readonly length: number } | null;
}
interface Step {
  readonly title: string;
  readonly code: string;
  readonly result: string;
  readonly text: string;
  readonly before: readonly Seen[];
  readonly after: readonly Seen[];
  readonly packets: readonly { readonly flags: string; readonly bytes: number }[];
  readonly packetSource: string;
}
interface Run {
  readonly id: string;
  readonly steps: readonly Step[];
  readonly done: boolean;
  readonly titles: readonly string[];
}
interface Summary {
  readonly name: string;
  readonly steps: number;
}

async function request(method: string, path: string, page: string = inspector.url!): Promise<Response> {
  const url = new URL(page);
  url.pathname = path;
  // A connection that the client keeps would count as left open.
  return fetch(url, { method, headers: { connection: "close" } });
}

async function runAll(lesson: string, page?: string): Promise<Run> {
  let run = (await (await request("POST", `/api/lessons/${lesson}`, page)).json()) as Run;
  while (!run.done) {
    const response = await request("POST", `/api/runs/${run.id}/next`, page);
    assert.equal(response.status, 200, await response.clone().text());
    run = (await response.json()) as Run;
  }
  return run;
}

const stateOf = (seen: readonly Seen[], name: string): string | undefined =>
  seen.find((socket) => socket.name === name)?.state;

const captured = (run: Run): boolean => run.steps[0]?.packetSource === "capture";
const flagsOf = ({ packets }: Step): string[] => packets.map(({ flags }) => flags);

test("the list has the six lessons, with as many steps as a run has titles", async () => {
  const lessons = (await (await request("GET", "/api/lessons")).json()) as Summary[];
  assert.deepEqual(
    lessons.map(({ name }) => name),
    ["tcp", "udp", "refused", "lostPeer", "backpressure", "halfClose"],
  );
  for (const { name, steps } of lessons) {
    const run = (await (await request("POST", `/api/lessons/${name}`)).json()) as Run;
    assert.equal(run.titles.length, steps, name);
    assert.deepEqual(run.steps, []);
    assert.equal((await request("DELETE", `/api/runs/${run.id}`)).status, 200);
  }
});

test("the lesson tcp shows states, queues and packets of the seven steps", async () => {
  const run = await runAll("tcp");
  const [socket, bind, listen, connect, accept, send, recv, , close, end] = run.steps as [Step, ...Step[]] & Step[];
  assert.equal(stateOf(socket.after, "server"), "CLOSE");
  assert.deepEqual(bind!.before, socket.after);
  assert.equal(stateOf(listen!.after, "server"), "LISTEN");
  assert.equal(stateOf(connect!.after, "client"), "ESTABLISHED");
  assert.equal(connect!.after[0]!.acceptQueue!.length, 1);
  assert.equal(accept!.after[0]!.acceptQueue!.length, 0);
  assert.equal(send!.after.find(({ name }) => name === "connection")!.receiveQueue, 13);
  assert.equal(recv!.result, '"Hello, Server"');
  assert.equal(recv!.after.find(({ name }) => name === "connection")!.receiveQueue, 0);
  // The program has closed it, and the kernel keeps it.
  assert.equal(stateOf(close!.after, "connection"), "FIN_WAIT2");
  assert.equal(stateOf(close!.after, "client"), "CLOSE_WAIT");
  assert.equal(stateOf(end!.after, "connection"), "TIME_WAIT");
  if (!captured(run)) return;
  assert.deepEqual(flagsOf(bind!), []);
  assert.deepEqual(flagsOf(connect!), ["SYN", "SYN ACK", "ACK"]);
  assert.deepEqual(flagsOf(accept!), []);
  assert.equal(flagsOf(send!)[0], "PSH ACK");
  assert.equal(send!.packets[0]!.bytes, 13);
  assert.ok(flagsOf(close!).includes("FIN ACK"));
});

test("the lesson udp ends with the error of the datagram before", async () => {
  const run = await runAll("udp");
  assert.match(run.steps.at(-1)!.result, /^ECONNREFUSED: /);
  assert.equal(run.steps.find(({ title }) => title === "A buffer that is too small")!.result, '"t", then "three"');
  if (captured(run)) assert.deepEqual(flagsOf(run.steps.at(-2)!), ["UDP", "ICMP port unreachable"]);
});

test("the lesson refused shows the reset, and the connection once the server listens", async () => {
  const run = await runAll("refused");
  const [, first, , , second, , last] = run.steps;
  assert.match(first!.result, /^ECONNREFUSED: /);
  assert.equal(stateOf(second!.after, "second"), "ESTABLISHED");
  assert.match(last!.result, /^ECONNRESET: /);
  if (captured(run)) assert.deepEqual(flagsOf(first!), ["SYN", "RST ACK"]);
});

test("the lesson lostPeer kills a process, and loses a machine", async () => {
  const run = await runAll("lostPeer");
  const killed = run.steps.find(({ title }) => title === "The process is killed")!;
  assert.equal(stateOf(killed.before, "process"), "ESTABLISHED");
  assert.equal(stateOf(killed.after, "connection"), "CLOSE_WAIT");
  assert.match(run.steps.find(({ title }) => title === "The server sends again")!.result, /^EPIPE: /);
  const last = run.steps.at(-1)!;
  assert.match(last.result, /^ETIMEDOUT: .* \(sent again [1-9]\d* times?\)$/);
  // Every packet that went out was the same segment, and none came back. If the last step begins late, all packets came
  // before it.
  if (captured(run)) {
    const flags = [...flagsOf(run.steps.at(-2)!), ...flagsOf(last)];
    assert.deepEqual([...new Set(flags)], ["PSH ACK"]);
  }
});

test("the lesson backpressure fills the queues and loses nothing", async () => {
  const run = await runAll("backpressure");
  const [, full, , , drained] = run.steps;
  const [, taken = ""] = /^ETIMEDOUT: the kernel took ([\d,]+) bytes/.exec(full!.result) ?? assert.fail(full!.result);
  assert.ok(full!.after.find(({ name }) => name === "client")!.sendQueue! > 0);
  assert.ok(full!.after.find(({ name }) => name === "connection")!.receiveQueue! > 0);
  assert.ok(drained!.result.startsWith(`${taken} bytes in all`), drained!.result);
  for (const { receiveQueue, sendQueue } of drained!.after) assert.deepEqual([receiveQueue, sendQueue], [0, 0]);
  if (captured(run)) assert.ok(flagsOf(full!).includes("ACK, window 0"), flagsOf(full!).join());
});

test("the lesson halfClose ends one direction and uses the other", async () => {
  const run = await runAll("halfClose");
  const [, half, , answer, refused] = run.steps;
  assert.equal(stateOf(half!.after, "client"), "FIN_WAIT2");
  assert.equal(stateOf(half!.after, "connection"), "CLOSE_WAIT");
  assert.equal(answer!.result, '"the answer"');
  assert.match(refused!.result, /^EPIPE: /);
});

test("a run that is deleted, ended or pushed out leaves no socket", async () => {
  const own = (): number => sockets().filter(({ state }) => state !== "closed").length;
  const before = own();
  const begin = async (): Promise<Run> => {
    const run = (await (await request("POST", "/api/lessons/tcp")).json()) as Run;
    return (await (await request("POST", `/api/runs/${run.id}/next`)).json()) as Run;
  };
  const first = await begin();
  assert.equal(own(), before + 1);
  assert.equal((await request("DELETE", `/api/runs/${first.id}`)).status, 200);
  assert.equal(own(), before);
  assert.equal((await request("DELETE", `/api/runs/${first.id}`)).status, 404);
  assert.equal((await request("POST", `/api/runs/${first.id}/next`)).status, 404);
  // Eight runs at most: the ninth ends the oldest.
  const runs: Run[] = [];
  for (let count = 0; count < 9; count++) runs.push(await begin());
  assert.equal(own(), before + 8);
  assert.equal((await request("POST", `/api/runs/${runs[0]!.id}/next`)).status, 404);
  for (const { id } of runs.slice(1)) await request("DELETE", `/api/runs/${id}`);
  assert.equal(own(), before);
  assert.equal((await request("POST", "/api/lessons/none")).status, 404);
  assert.equal((await request("PUT", "/api/lessons/tcp")).status, 405);
});

const PROGRAM = `
  const { startInspector } = await import("berkeley/inspect");
  const inspector = await startInspector();
  console.log(inspector.url);
  process.stdin.resume().on("end", () => inspector.close());
`;
const setpriv = ["--bounding-set=-net_raw", "--inh-caps=-net_raw"];
const canDrop = spawnSync("setpriv", [...setpriv, "true"]).status === 0;

test(
  "without CAP_NET_RAW the packets are the segments that the kernel counts",
  { skip: canDrop || process.env["CI"] === "true" ? false : "setpriv can not drop CAP_NET_RAW" },
  async () => {
    const node = [process.execPath, "--input-type=module", "-e", PROGRAM];
    const [command = "", ...args] = canDrop ? ["setpriv", ...setpriv, ...node] : node;
    const program = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    const [url] = (await once(createInterface(program.stdout), "line")) as [string];
    const run = await runAll("tcp", url);
    const sources = new Set(run.steps.map(({ packetSource }) => packetSource));
    if (canDrop) assert.ok(!sources.has("capture"), [...sources].join());
    const connect = run.steps.find(({ title }) => title === "The client: connect")!;
    // SYN and ACK of the client.
    if (canDrop) assert.deepEqual(flagsOf(connect), ["2 segments"]);
    program.stdin.end();
    await once(program, "exit");
  },
);

test("a lesson whose child process runs keeps no process alive", async () => {
  const program = `
    const { startInspector } = await import("berkeley/inspect");
    const { url } = await startInspector();
    const request = async (method, path) => {
      const to = new URL(url);
      to.pathname = path;
      return (await fetch(to, { method, headers: { connection: "close" } })).json();
    };
    const { id } = await request("POST", "/api/lessons/lostPeer");
    await request("POST", "/api/runs/" + id + "/next");
    const { steps } = await request("POST", "/api/runs/" + id + "/next");
    console.log(steps[1].result);
  `;
  await using running = new Program(process.execPath, ["--input-type=module", "--eval", program], { limit: 25_000 });
  const { status, stdout } = await running.ended;
  assert.equal(status, 0);
  assert.match(stdout, /^descriptor \d+, connected to process \d+\n$/);
});
