// The commands: a table by name, and the reply to each request.
//
// A name of a command consists of letters. With five bits per letter, a name of up to ten letters fits exactly into a
// number. The table has these numbers as its keys, so a lookup makes no string.

import type { Replies } from "./replies.js";
import type { RequestReader } from "./protocol.js";
import type { Store } from "./store.js";

/** The state that a command can use. */
export interface Context {
  readonly store: Store;
  readonly request: RequestReader;
  readonly replies: Replies;
  /** QUIT sets it: the connection ends after the replies. */
  quit: boolean;
}

interface Command {
  readonly name: string;
  /** Minimum and maximum number of arguments, the name included. */
  readonly least: number;
  readonly most: number;
  readonly run: (context: Context) => void;
}

const OK = "+OK\r\n";
const NIL = "$-1\r\n";
const NOT_AN_INTEGER = "ERR value is not an integer or out of range";
const OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'";
const SYNTAX = "ERR syntax error";
const MAX_INT64 = 2n ** 63n - 1n;
const MIN_INT64 = -(2n ** 63n);
const LETTERS = 10;

const table = new Map<number, Command>();

/** The argument at `index` of the request. */
function text({ request }: Context, index: number): string {
  return request.source.toString("latin1", request.starts[index], request.ends[index]);
}

/** A 64-bit integer in the form that Redis accepts: an optional minus, no plus, no leading zeros. */
function parseInteger(value: string): bigint | undefined {
  if (value.length > 20 || !/^(?:0|-?[1-9]\d*)$/.test(value)) return undefined;
  const number = BigInt(value);
  return number >= MIN_INT64 && number <= MAX_INT64 ? number : undefined;
}

/** Adds a command to the table. `least` and `most` count its arguments, the name included. */
function command(name: string, least: number, most: number, run: (context: Context) => void): void {
  const key = codeOf(Buffer.from(name), 0, name.length);
  table.set(key, { name, least, most, run });
}

command("ping", 1, 2, (context) => {
  if (context.request.count === 1) context.replies.constant("+PONG\r\n");
  else context.replies.bulk(text(context, 1));
});
command("echo", 2, 2, (context) => context.replies.bulk(text(context, 1)));
command("quit", 1, 1, (context) => {
  context.quit = true;
  context.replies.constant(OK);
});

command("get", 2, 2, (context) => {
  const value = context.store.get(text(context, 1));
  if (value === undefined) context.replies.constant(NIL);
  else context.replies.bulk(value);
});
command("set", 3, 8, set);
command("mget", 2, Infinity, (context) => {
  const { replies, request, store } = context;
  replies.array(request.count - 1);
  for (let index = 1; index < request.count; index++) {
    const value = store.get(text(context, index));
    if (value === undefined) replies.constant(NIL);
    else replies.bulk(value);
  }
});
command("strlen", 2, 2, (context) => context.replies.integer(context.store.get(text(context, 1))?.length ?? 0));

command("del", 2, Infinity, (context) => count(context, (key) => context.store.delete(key)));
command("unlink", 2, Infinity, (context) => count(context, (key) => context.store.delete(key)));
command("exists", 2, Infinity, (context) => count(context, (key) => context.store.get(key) !== undefined));

command("incr", 2, 2, (context) => add(context, 1n));
command("decr", 2, 2, (context) => add(context, -1n));
command("incrby", 3, 3, (context) => add(context, parseInteger(text(context, 2))));
command("decrby", 3, 3, (context) => {
  const by = parseInteger(text(context, 2));
  add(context, by === undefined ? undefined : -by);
});

command("expire", 3, 3, (context) => expire(context, 1000));
command("pexpire", 3, 3, (context) => expire(context, 1));
command("ttl", 2, 2, (context) => {
  const left = context.store.left(text(context, 1));
  context.replies.integer(left < 0 ? left : Math.round(left / 1000));
});
command("pttl", 2, 2, (context) => context.replies.integer(context.store.left(text(context, 1))));
command("persist", 2, 2, (context) => context.replies.integer(context.store.persist(text(context, 1)) ? 1 : 0));

command("dbsize", 1, 1, (context) => context.replies.integer(context.store.size));
command("flushall", 1, 2, (context) => {
  context.store.clear();
  context.replies.constant(OK);
});

// Commands that clients send when they connect.
command("select", 2, 2, (context) => {
  const index = parseInteger(text(context, 1));
  if (index === 0n) context.replies.constant(OK);
  else context.replies.error(index === undefined ? NOT_AN_INTEGER : "ERR DB index is out of range");
});
command("command", 1, Infinity, (context) => context.replies.array(0));
command("client", 2, Infinity, (context) => {
  if (["setinfo", "setname"].includes(text(context, 1).toLowerCase())) context.replies.constant(OK);
  else context.replies.error("ERR unknown subcommand of CLIENT");
});
command("config", 3, 3, (context) => {
  const settings: Readonly<Record<string, string>> = { appendonly: "no", save: "" };
  const name = text(context, 2).toLowerCase();
  if (text(context, 1).toLowerCase() !== "get") return context.replies.error("ERR unknown subcommand of CONFIG");
  const value = Object.hasOwn(settings, name) ? settings[name] : undefined;
  context.replies.array(value === undefined ? 0 : 2);
  if (value === undefined) return;
  context.replies.bulk(name);
  context.replies.bulk(value);
});
command("info", 1, 2, (context) => {
  const { memory, mortal, size } = context.store;
  context.replies.bulk(
    `# Server\r\nredis_mode:standalone\r\n# Persistence\r\nloading:0\r\n# Memory\r\nused_memory:${memory}\r\n` +
      `# Keyspace\r\n${size > 0 ? `db0:keys=${size},expires=${mortal}\r\n` : ""}`,
  );
});

/** SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL] */
function set(context: Context): void {
  const { replies, request, store } = context;
  const key = text(context, 1);
  const value = text(context, 2);
  if (request.count === 3) {
    if (store.set(key, value, false)) replies.constant(OK);
    else replies.error(OUT_OF_MEMORY);
    return;
  }
  let time: number | undefined;
  let unit: string | undefined;
  let keep = false;
  let only: string | undefined;
  let get = false;
  for (let index = 3; index < request.count; index++) {
    const word = text(context, index).toUpperCase();
    if (word === "GET") get = true;
    else if ((word === "NX" || word === "XX") && (only ?? word) === word) only = word;
    else if (word === "KEEPTTL" && unit === undefined) keep = true;
    else if ((word === "EX" || word === "PX") && (unit ?? word) === word && !keep && index + 1 < request.count) {
      unit = word;
      const number = parseInteger(text(context, ++index));
      if (number === undefined) return replies.error(NOT_AN_INTEGER);
      time = milliseconds(number, word === "EX" ? 1000 : 1);
      if (time === undefined || time <= 0) return replies.error("ERR invalid expire time in 'set' command");
    } else return replies.error(SYNTAX);
  }
  const before = store.get(key);
  const wanted = only === undefined || (only === "NX") === (before === undefined);
  if (wanted) {
    if (!store.set(key, value, keep)) return replies.error(OUT_OF_MEMORY);
    if (time !== undefined) store.expire(key, time);
  }
  if (get && before !== undefined) replies.bulk(before);
  else replies.constant(get || !wanted ? NIL : OK);
}

/** Replies with the number of keys for which `test` returns true. */
function count(context: Context, test: (key: string) => boolean): void {
  let total = 0;
  for (let index = 1; index < context.request.count; index++) if (test(text(context, index))) total++;
  context.replies.integer(total);
}

function add(context: Context, by: bigint | undefined): void {
  const { replies, store } = context;
  const key = text(context, 1);
  const value = parseInteger(store.get(key) ?? "0");
  if (value === undefined || by === undefined) return replies.error(NOT_AN_INTEGER);
  const sum = value + by;
  if (sum > MAX_INT64 || sum < MIN_INT64) return replies.error("ERR increment or decrement would overflow");
  if (store.set(key, String(sum), true)) replies.integer(sum);
  else replies.error(OUT_OF_MEMORY);
}

function expire(context: Context, unit: number): void {
  const number = parseInteger(text(context, 2));
  if (number === undefined) return context.replies.error(NOT_AN_INTEGER);
  const time = milliseconds(number, unit);
  if (time === undefined) return context.replies.error("ERR invalid expire time in 'expire' command");
  context.replies.integer(context.store.expire(text(context, 1), time) ? 1 : 0);
}

/** The milliseconds as a number, or undefined if they are too many for a date. */
function milliseconds(number: bigint, unit: number): number | undefined {
  const time = Number(number) * unit;
  return Math.abs(time) <= 4e15 ? time : undefined;
}

/** The letters of a name as a number, in upper or lower case. -1 for other characters or too many letters. */
function codeOf(source: Buffer, start: number, end: number): number {
  if (end - start > LETTERS) return -1;
  let code = 0;
  for (let index = start; index < end; index++) {
    const letter = (source[index]! | 0x20) - 0x60;
    if (letter < 1 || letter > 26) return -1;
    code = code * 32 + letter;
  }
  return code;
}

/** Runs the command of the last request, which adds a reply. */
export function execute(context: Context): void {
  const { replies, request } = context;
  const found = table.get(codeOf(request.source, request.starts[0]!, request.ends[0]!));
  if (found === undefined) return replies.error(`ERR unknown command '${text(context, 0).slice(0, 128)}'`);
  if (request.count < found.least || request.count > found.most) {
    return replies.error(`ERR wrong number of arguments for '${found.name}' command`);
  }
  found.run(context);
}
