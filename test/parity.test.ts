// docs/python.md agrees with the installed Python, of any version from 3.9 on, and with the package; every counterpart
// in it exists.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import * as awaitable from "berkeley";
import * as blocking from "berkeley/sync";
import { checkLeaks } from "./support/leaks.js";

checkLeaks();

const root = fileURLToPath(new URL("../..", import.meta.url));

interface Parity {
  readonly version: readonly [number, number];
  readonly calls: { readonly all: number; readonly covered: number; readonly percent: number };
  readonly rows: readonly {
    readonly kind: string;
    readonly name: string;
    readonly ours: readonly string[];
    readonly blocking: boolean;
    readonly reason?: string;
  }[];
}

function run(...args: string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const script = join(root, "scripts", "parity.mjs");
  const { status, stderr, stdout } = spawnSync(process.execPath, [script, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
}

function parity(...args: string[]): string {
  const { status, stderr, stdout } = run(...args);
  assert.equal(status, 0, stderr);
  return stdout;
}

const report = JSON.parse(parity("--json")) as Parity;

test("the page is up to date, and its names are those of the installed Python", (t) => {
  t.diagnostic(`Python ${report.version.join(".")}`);
  parity("--check");
});

const folder = mkdtempSync(join(tmpdir(), "berkeley-parity-"));
after(() => rmSync(folder, { recursive: true }));

type Name = readonly [kind: string, name: string];

/** The check under a Python of another version, whose names are those of this one but for the changes. */
function checkUnder(
  version: readonly [number, number],
  added: readonly Name[],
  removed: readonly string[] = [],
): string {
  const file = join(folder, "names.json");
  const names = report.rows.map(({ kind, name }): Name => [kind, name]).filter(([, name]) => !removed.includes(name));
  writeFileSync(file, JSON.stringify({ version, names: [...names, ...added] }));
  const { status, stderr } = run("--check", "--names", file);
  assert.equal(stderr === "", status === 0, stderr);
  return stderr;
}

/** Constants that Python's documentation dates: "Changed in version". */
const CONSTANTS_OF_314 = (
  "IP_PKTINFO IP_BLOCK_SOURCE IP_UNBLOCK_SOURCE IP_ADD_SOURCE_MEMBERSHIP IP_DROP_SOURCE_MEMBERSHIP ETHERTYPE_ARP " +
  "ETHERTYPE_IP ETHERTYPE_IPV6 ETHERTYPE_VLAN TCP_CC_INFO TCP_FASTOPEN_CONNECT TCP_ULP " +
  "TCP_MD5SIG TCP_MD5SIG_EXT TCP_FASTOPEN_KEY TCP_FASTOPEN_NO_COOKIE TCP_INQ TCP_TX_DELAY " +
  "TCP_ZEROCOPY_RECEIVE TCP_SAVE_SYN TCP_SAVED_SYN TCP_REPAIR TCP_REPAIR_QUEUE TCP_QUEUE_SEQ " +
  "TCP_REPAIR_OPTIONS TCP_TIMESTAMP TCP_THIN_LINEAR_TIMEOUTS TCP_THIN_DUPACK SO_BINDTOIFINDEX CAN_RAW_ERR_FILTER " +
  "NI_IDN IP_RECVERR IPV6_RECVERR IP_RECVTTL IP_RECVORIGDSTADDR SO_ORIGINAL_DST " +
  "VMADDR_CID_LOCAL HCI_MAX_DEV BDADDR_BREDR"
).split(" ");
const others = CONSTANTS_OF_314.filter((name) => !report.rows.some((row) => row.name === name));

test("the page is checked under Pythons of other versions, whose constants are others", () => {
  assert.equal(checkUnder([3, 9], [], ["IP_RECVTOS", "IPPROTO_MPTCP", "SO_INCOMING_CPU"]), "");
  assert.equal(
    checkUnder(
      [3, 14],
      others.map((name): Name => ["constant", name]),
    ),
    "",
  );
});

test("the check fails under any version when a call, a class or an exception is on one side alone", () => {
  for (const version of [
    [3, 9],
    [3, 11],
    [3, 14],
    [3, 99],
  ] as const) {
    assert.match(checkUnder(version, [["function", "htons_all"]]), /htons_all of Python has neither a counterpart nor/);
    assert.match(checkUnder(version, [["function", "recv"]]), /neither/);
    assert.match(checkUnder(version, [["function", "pump"]]), /has no function pump of Python/);
    assert.match(checkUnder(version, [["member", "sendmmsg"]]), /has no member sendmmsg of Python/);
    assert.match(checkUnder(version, [], ["recv_fds"]), /has no function recv_fds/);
    assert.match(checkUnder(version, [], ["gaierror"]), /has no exception gaierror/);
  }
});

test("the check fails when constants are missing, one under the page's version and many under another", () => {
  const constants = report.rows.filter(({ kind }) => kind === "constant").map(({ name }) => name);
  assert.match(checkUnder([3, 11], [], ["SO_MARK"]), /3\.11 has no constant SO_MARK/);
  assert.match(
    checkUnder([3, 11], [["constant", "SO_BINDTOIFINDEX"]]),
    /has no constant SO_BINDTOIFINDEX of Python 3\.11/,
  );
  assert.match(checkUnder([3, 12], [], constants.slice(0, 100)), /constants of docs\/python\.md, required 85 %/);
  assert.match(
    checkUnder([3, 12], [["constant", "SO_NEW"]]),
    /SO_NEW of Python has neither a counterpart nor a reason/,
  );
});

test("the check refuses a Python that is too old", () => {
  assert.match(checkUnder([3, 8], []), /python3 is 3\.8, required 3\.9 or later/);
});

test("every counterpart is exported, or a member of a socket", () => {
  const exists = (entry: typeof awaitable | typeof blocking, name: string): boolean => {
    const [, member] = /^Socket\.(\w+)$/.exec(name) ?? [];
    if (member === undefined) return name in entry;
    using socket = new entry.Socket();
    return member in socket || member in entry.Socket;
  };
  for (const { blocking: twin, kind, name, ours } of report.rows) {
    for (const one of ours) {
      assert.ok(exists(awaitable, one), `${kind} ${name}: berkeley has no ${one}`);
      if (twin) assert.ok(exists(blocking, one), `${kind} ${name}: berkeley/sync has no ${one}`);
    }
  }
});

test("at least 95 % of the functions and members have a counterpart, and the rest a reason", (t) => {
  const calls = report.rows.filter(({ kind }) => kind === "function" || kind === "member");
  const covered = calls.filter(({ ours }) => ours.length > 0);
  assert.equal(calls.length, report.calls.all);
  assert.equal(covered.length, report.calls.covered);
  assert.ok(covered.length >= 0.95 * calls.length, `${covered.length} of ${calls.length}`);
  for (const { name, ours, reason } of report.rows) assert.ok(ours.length > 0 || (reason ?? "") !== "", name);
  t.diagnostic(`parity: ${covered.length} of ${calls.length} functions and members, ${report.calls.percent} %`);
});
