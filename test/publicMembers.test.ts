// At run time, objects of public classes have exactly the members of their declarations.
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { readFileSync } from "node:fs";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as berkeley from "berkeley";
import * as sync from "berkeley/sync";
import * as testing from "berkeley/testing";
import * as server from "berkeley/server";
import * as wintertc from "berkeley/wintertc";
import { checkLeaks } from "./support/leaks.js";

checkLeaks();

const root = fileURLToPath(new URL("../..", import.meta.url));

type Class = (abstract new (...args: never[]) => object) & { readonly prototype: object };

interface Declared {
  readonly extended: string | undefined;
  readonly members: ReadonlySet<string>;
  readonly statics: ReadonlySet<string>;
}

/** The classes of a golden file of the public surface. */
function declaredClasses(entry: string): Map<string, Declared> {
  const text = readFileSync(`${root}/etc/${entry}.api.md`, "utf8");
  const classes = new Map<string, Declared>();
  for (const match of text.matchAll(
    /^export (?:abstract )?(?:class|interface) (\w+)(?:<[^{]*?>)?(?: extends ([\w.]+))?[^{]*\{\n(.*?)^\}/gms,
  )) {
    const [, name = "", extended, body = ""] = match;
    // An interface may add members to the class of its name.
    const known = classes.get(name);
    const members = new Set<string>(known?.members);
    const statics = new Set<string>(known?.statics);
    for (const line of body.split("\n")) {
      const member =
        /^ {4}(static )?(?:abstract |readonly |get |set |declare |async )*(\[Symbol\.\w+\]|\[INSPECT\]|[\w$]+)[?!]?[(<:;]/.exec(
          line,
        );
      if (member !== null) (member[1] === undefined ? members : statics).add(member[2]!);
    }
    classes.set(name, { extended: extended ?? known?.extended, members, statics });
  }
  // A class whose constructor has an interface of its own: `export type Socket<A …> = SocketCalls<A>`.
  for (const [, name = "", target = ""] of text.matchAll(/^export type (\w+)<[^=]*=[^=]*> = (\w+)<A>;$/gm)) {
    const declared = classes.get(target);
    if (declared !== undefined) classes.set(name, declared);
  }
  return classes;
}

/** Declared by an interface that is merged with the class Inspectable, under this name. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

const nameOf = (key: string | symbol): string =>
  // Node 20 names these symbols "nodejs.dispose" and "nodejs.asyncDispose".
  typeof key === "string"
    ? key
    : key === INSPECT
      ? "[INSPECT]"
      : `[${key.description!.replace(/^nodejs\./, "Symbol.")}]`;

/** Marks by which other copies of the package recognise an object; not members. */
const isMark = (key: string | symbol): boolean =>
  typeof key === "symbol" && (key.description?.startsWith("berkeley.") ?? false);

const common = new Set(["constructor", "length", "name", "prototype", "[Symbol.hasInstance]", "[Symbol.toStringTag]"]);

const entries = { berkeley, server, sync, testing, wintertc } as const;

for (const [entry, exported] of Object.entries(entries)) {
  const classes = declaredClasses(entry);
  test(`the classes of ${entry} have no member that their declarations lack`, () => {
    let found = 0;
    for (const [name, value] of Object.entries(exported)) {
      if (typeof value !== "function" || !/^class\b/.test(Function.prototype.toString.call(value))) continue;
      const declared = classes.get(name);
      assert.ok(declared !== undefined, `${name} is declared in etc/${entry}.api.md`);
      found++;
      const members = new Set<string>();
      for (let at: Declared | undefined = declared; at !== undefined; at = classes.get(at.extended ?? "")) {
        for (const member of at.members) members.add(member);
      }
      const { prototype } = value as unknown as Class;
      const hidden = chain(prototype)
        .flatMap((at) => Reflect.ownKeys(at))
        .filter((key) => !isMark(key))
        .map(nameOf)
        .filter((key) => !members.has(key) && !common.has(key));
      assert.deepEqual(hidden, [], `${name}.prototype`);
      const statics = Reflect.ownKeys(value).map(nameOf);
      assert.deepEqual(
        statics.filter((key) => !declared.statics.has(key) && !common.has(key)),
        [],
        name,
      );
    }
    assert.ok(found > 0, `${entry} has classes`);
  });
}

/** A prototype and those above it, up to a class of the platform (Error, EventEmitter …). */
function chain(prototype: object): object[] {
  const found: object[] = [];
  for (let at = prototype; !isNative(at); at = Object.getPrototypeOf(at) as object) found.push(at);
  return found;
}

function isNative({ constructor }: object): boolean {
  const text = Function.prototype.toString.call(constructor);
  return text.includes("[native code]") || constructor === EventEmitter || constructor === Duplex;
}

test("the instances have no member that their declarations lack", async () => {
  const [left, right] = berkeley.socketpair();
  const [blocking, other] = sync.socketpair();
  const listener = await berkeley.listen("tcp://127.0.0.1:0");
  const stream = await berkeley.connect(`tcp://${String(listener.address)}`);
  const udp = await berkeley.bindUdp("udp://127.0.0.1:0");
  const batch = new berkeley.DatagramBatch();
  const conn = new berkeley.SocketConn(right);
  const [memory, peer] = testing.memoryPair();
  const instances: [entry: string, name: string, object][] = [
    ["berkeley", "Socket", left],
    ["berkeley", "SocketConn", conn],
    ["berkeley", "SocketListener", listener],
    ["berkeley", "Stream", stream],
    ["berkeley", "UdpSocket", udp],
    ["berkeley", "DatagramBatch", batch],
    ["berkeley", "InetAddress", new berkeley.InetAddress("127.0.0.1", 1)],
    ["sync", "Socket", blocking],
  ];
  for (const [entry, name, instance] of instances) {
    const { members } = declaredClasses(entry).get(name)!;
    const own = Reflect.ownKeys(instance).filter((key) => !isMark(key));
    assert.deepEqual(
      own.map(nameOf).filter((key) => !members.has(key)),
      [],
      name,
    );
  }
  await stream.close();
  await listener.close();
  await udp.close();
  await conn.close();
  left.close();
  blocking.close();
  other.close();
  await memory.close();
  await peer.close();
});
