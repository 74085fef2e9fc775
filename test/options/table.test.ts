// docs/options.md is complete and right about names, levels and shapes.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as berkeley from "berkeley";
import { constants } from "./support.js";
import { declared, documented, exported, leftOut } from "./table.js";

const everything: Readonly<Record<string, unknown>> = { ...berkeley };
const rows = documented();
const options = exported();
const aliases = new Map([
  ["SO_DETACH_BPF", "SO_DETACH_FILTER"],
  ["IP_RECVRETOPTS", "IP_RETOPTS"],
  ["IPV6_JOIN_GROUP", "IPV6_ADD_MEMBERSHIP"],
  ["IPV6_LEAVE_GROUP", "IPV6_DROP_MEMBERSHIP"],
]);

test("docs/options.md has a row for each exported option, and no other", () => {
  const names = rows.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  assert.deepEqual(names.toSorted(), [...options.keys()].toSorted());
  assert.ok(names.length > 200, `${names.length} options`);
});

test("docs/options.md says the types that the declarations have", () => {
  const shapes = declared();
  for (const row of rows) assert.deepEqual({ get: row.get, set: row.set }, shapes.get(row.name), row.name);
});

test("docs/options.md puts each option in its level", () => {
  for (const { name, levels } of rows) {
    const option = options.get(name)!;
    assert.equal(option.level, constants[levels[0]!], name);
    assert.equal(option.levelOf !== undefined || "of" in option, levels.length > 1 || name === "IP_MSFILTER", name);
  }
});

test("docs/options.md has the options of a level in the order of their numbers", () => {
  // socket(7)'s SO_SNDBUFFORCE came late and has a high number; the order is that of the numbers all the same.
  const last = new Map<string, number>();
  for (const { name, levels } of rows) {
    const level = levels.join();
    const { optname } = options.get(name)!;
    assert.ok(optname >= (last.get(level) ?? -1), `${name} (${optname}) stands after ${last.get(level)}`);
    last.set(level, optname);
  }
});

test("docs/options.md says since when with a version of Linux", () => {
  for (const { name, since } of rows) assert.match(since, /^\d\.\d+(\.\d+)?$/, name);
});

test("an option is called as it is exported, and has the number of its constant", () => {
  for (const [name, option] of options) {
    assert.equal(option.name, aliases.get(name) ?? name);
    assert.equal(option.optname, constants[name], name);
  }
});

test("the options that docs/options.md has only in the raw form are exported as numbers", () => {
  const names = leftOut();
  assert.ok(names.includes("TCP_ZEROCOPY_RECEIVE"));
  for (const name of names) assert.equal(typeof everything[name], "number", name);
});

test("every option of a level that has a constant is typed, or docs/options.md says why not", () => {
  const known = new Set([...options.keys(), ...leftOut()]);
  // Values of options, and types of control messages, have names that begin like options.
  const values =
    /^(SO_EE_|SO_DETACH|IP_PMTUDISC|IP_DEFAULT|IP_MAX|IP_ORIGDSTADDR|IPV6_PMTUDISC|IPV6_PREFER|IPV6_FL_|IPV6_ORIGDSTADDR|IPV6_RTHDR_TYPE_0|TCP_CA_|TCP_REPAIR_O|TCP_CM_INQ|(TCP|UDP)_(NO|RECV|SEND)_QUEUE$|UDP_ENCAP_|MCAST_(EX|IN)CLUDE|PACKET_(MR|FANOUT)_)/;
  const states =
    /^TCP_(ESTABLISHED|SYN_SENT|SYN_RECV|FIN_WAIT\d|TIME_WAIT|CLOSE|CLOSE_WAIT|LAST_ACK|LISTEN|CLOSING|NEW_SYN_RECV)$/;
  const packets = /^PACKET_(HOST|BROADCAST|MULTICAST|OTHERHOST|OUTGOING|LOOPBACK|USER|KERNEL|FASTROUTE)$/;
  const untold = Object.keys(constants).filter(
    (name) =>
      /^(SO|IP|IPV6|TCP|UDP|UDPLITE|MCAST|PACKET)_/.test(name) &&
      !known.has(name) &&
      !states.test(name) &&
      !packets.test(name) &&
      !values.test(name),
  );
  assert.deepEqual(untold, []);
});

test("every constant is exported, but for those whose name is an option's", () => {
  // Sizes that only the library itself needs.
  const internal = new Set(["SIZEOF_SIZE_T", "IOV_MAX"]);
  for (const [name, value] of Object.entries(constants)) {
    if (internal.has(name)) assert.equal(everything[name], undefined, name);
    else if (!options.has(name)) assert.equal(everything[name], value, name);
  }
});
