// Lookups that no server answers, in namespaces of the test's own: they delay neither other work nor names that need no server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLeaks } from "../../support/leaks.js";
import { canUnshare } from "../../support/namespaces.js";
import { Program } from "../../support/program.js";

checkLeaks();

const FLAGS = ["--net", "--mount"];
const skip = canUnshare(FLAGS) ? false : "no network and mount namespaces can be made here";
/** A thread pool that is full, or a place in a queue behind a silent server, costs seconds. Wide, because machines are busy. */
const MOST = 500;

const SET_UP = `
  set -e
  ip link set lo up
  folder=$(mktemp -d)
  trap 'rm -r "$folder"' EXIT
  printf 'nameserver 127.0.0.1\\n' > "$folder/resolv.conf"
  printf '127.0.0.1 localhost\\n192.0.2.9 listed.example # of this test\\n' > "$folder/hosts"
  printf 'hosts: files dns\\n' > "$folder/nsswitch.conf"
  for name in resolv.conf hosts nsswitch.conf; do mount --bind "$folder/$name" "/etc/$name"; done
`;

interface Line {
  readonly count?: number;
  readonly state?: string;
  readonly alone?: Readonly<Record<string, number>>;
  readonly beside?: Readonly<Record<string, number>>;
  readonly codes?: readonly string[];
  readonly shared?: number;
}

test(
  "lookups that a silent server holds up delay neither Node's thread pool nor the names of this machine",
  { skip },
  async (t) => {
    const child = new URL("silentDns.js", import.meta.url).pathname;
    await using program = new Program("unshare", [...FLAGS, "sh", "-c", `${SET_UP}\n"$0" "$1"`, process.execPath, child]);
    const { status, stdout, stderr } = await program.ended;
    assert.equal(status, 0, stderr);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
    assert.equal(lines.length, 10, stdout);
    const [{ shared }] = lines as [Line];
    // For A and for AAAA, and once more if the C library asks again in that time.
    assert.ok(shared! > 0 && shared! <= 4, `${shared} questions for 50 equal ones`);
    for (const { count, state, alone, beside, codes } of lines.slice(1, 9)) {
      for (const [name, took] of Object.entries(beside!)) {
        const text = `${name} beside ${count} ${state}: ${took} ms, alone ${alone![name]} ms`;
        t.diagnostic(text);
        assert.ok(took < alone![name]! + MOST, text);
      }
      if (codes !== undefined) assert.deepEqual(codes, ["ETIMEDOUT"]);
    }
  },
);
