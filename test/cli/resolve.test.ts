// The command `resolve`, compared with connect() to the same names.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLeaks } from "../support/leaks.js";
import { inResolverNamespace, noResolverNamespace } from "../support/resolverNamespace.js";
import { MAIN, objects, run } from "./support.js";

checkLeaks();

interface Scene {
  readonly attempts: readonly string[];
  readonly answers: readonly {
    readonly attempt: number;
    readonly address: string;
    readonly after: number;
    readonly source: string | null;
    readonly error?: string;
    readonly reason: string;
  }[];
}

test(
  "resolve prints the addresses in the order of connect()'s attempts, with reasons",
  { skip: noResolverNamespace },
  async () => {
    const hosts = [
      "127.0.0.5 many",
      "127.0.0.6 many",
      "::1 many",
      "fd00:1::1 many",
      "10.1.2.3 many",
      "fd00:2::1 six",
      "::1 six",
      "127.0.0.9 one",
    ].join("\n");
    const commands = "ip -6 address add fd00:2::1/128 dev lo nodad";
    await using program = inResolverNamespace(new URL("resolveScene.js", import.meta.url), { hosts, commands }, [MAIN]);
    const { status, stdout, stderr } = await program.ended;
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    const scenes = JSON.parse(stdout) as Record<string, Scene>;
    for (const [name, { attempts, answers }] of Object.entries(scenes)) {
      assert.deepEqual(
        answers.map(({ address }) => address),
        attempts,
        name,
      );
      assert.deepEqual(
        answers.map(({ attempt, after }) => [attempt, after]),
        attempts.map((_, index) => [index + 1, index * 250]),
      );
    }
    const { many, one } = scenes;
    assert.equal(many!.answers.length, 5);
    const find = (address: string): Scene["answers"][number] => many!.answers.find((each) => each.address === address)!;
    assert.equal(find("127.0.0.5").source, "127.0.0.1");
    assert.deepEqual([find("10.1.2.3").source, find("10.1.2.3").error], [null, "ENETUNREACH"]);
    assert.match(many!.answers[0]!.reason, /^the resolver's first, before \S+ by rule \d of RFC 6724: /);
    assert.match(many!.answers[1]!.reason, /^the turn of IPv[46] after IPv[46]/);
    assert.ok(many!.answers.some(({ reason }) => reason.includes("by rule 1 of RFC 6724: the other has no route")));
    assert.equal(one!.answers[0]!.reason, "the only address");
  },
);

test("resolve accepts an address, and prints that no lookup is made", async () => {
  const { status, stdout, stderr } = await run(["resolve", "127.0.0.1"]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.equal(stdout, " 1  127.0.0.1  at once   from 127.0.0.1; NAME is an address, so no resolver is used\n");
  const [answer] = objects((await run(["resolve", "127.0.0.1", "--json"])).stdout);
  assert.deepEqual(answer, {
    attempt: 1,
    address: "127.0.0.1",
    family: "IPv4",
    after: 0,
    place: 1,
    source: "127.0.0.1",
    reason: "NAME is an address, so no resolver is used",
  });
});

test("resolve refuses a value that is not a host, and reports an unknown name", async () => {
  const wrong = await run(["resolve", "127.1"]);
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /^berkeley: NAME is "127\.1": host is "127\.1", which looks like a number, required /);
  const both = await run(["resolve", "localhost", "-4", "-6"]);
  assert.deepEqual(
    [both.status, both.stderr],
    [2, "berkeley: -4 and -6 are given together (see berkeley resolve --help)\n"],
  );
  // RFC 6761 reserves the domain, so it has no hosts.
  const unknown = await run(["resolve", "nobody.invalid"]);
  assert.deepEqual([unknown.status, unknown.stdout], [1, ""]);
  assert.match(unknown.stderr, /^berkeley: getaddrinfo EAI_\w+ nobody\.invalid: [^\n]+\n$/);
});
