// Writes the second half of docs/python.md: every public name of Python 3.11's `socket` module and every member of its
// socket class, each with its counterpart in this package, or with the reason why there is none. The Python names come
// from the installed python3. The first half is written by hand.
//
//   node scripts/parity.mjs            writes that half
//   node scripts/parity.mjs --check    fails when that half is not up to date
//   node scripts/parity.mjs --json     prints the rows instead
//   ... --names FILE                   reads the names from FILE, the output of `listNames`, instead of running python3
//
// The page is about one version of Python, PAGE_VERSION. `--check` works under every Python from OLDEST on: it makes
// the text again from the names on the page, and compares these names with those of the installed Python.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = join(root, "docs", "python.md");
/** The line above the half that this script writes. */
const MARK = "<!-- node scripts/parity.mjs writes the rest of this page. -->\n";
/** The version that the page is about, and the oldest version that `--check` accepts. */
const PAGE_VERSION = [3, 11];
const OLDEST = [3, 9];
/**
 * Functions, classes, exceptions and members that are newer than Python 3.9, each with its first version. There are
 * none up to Python 3.14.
 */
const ADDED = {};
/**
 * How many of the page's constants another version of Python must have, in percent. Its constants depend on the headers
 * that it was compiled with.
 */
const MIN_CONSTANTS_PERCENT = 85;
/** How many of the functions and members must have a counterpart, in percent. */
const MIN_COUNTERPARTS_PERCENT = 95;

/**
 * A Python program that prints the names. It leaves out the modules and the enum classes that `socket` imports, because
 * these are not public names of `socket`.
 */
const listNames = `
import enum, inspect, json, socket, sys
names = []
for name in dir(socket):
    value = getattr(socket, name)
    if name.startswith("_") or inspect.ismodule(value) or value in (enum.IntEnum, enum.IntFlag):
        continue
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
    else:
        kind = "function" if callable(value) else "constant"
    names.append([kind, name])
names += [["member", name] for name in dir(socket.socket) if not name.startswith("_")]
print(json.dumps({"version": list(sys.version_info[:2]), "names": names}))
`;

const fail = (message) => {
  process.stderr.write(`parity: ${message}\n`);
  process.exit(1);
};

function readPythonNames() {
  const at = process.argv.indexOf("--names");
  if (at !== -1) return JSON.parse(readFileSync(process.argv[at + 1], "utf8"));
  const { error, status, stderr, stdout } = spawnSync("python3", ["-c", listNames], { encoding: "utf8" });
  if (error !== undefined || status !== 0) fail(`cannot run python3: ${error?.message ?? stderr}`);
  return JSON.parse(stdout);
}

/**
 * Counterparts that have another name or work in another way. `ours` has their names, `how` explains the difference.
 */
const renamed = {
  "function close": {
    ours: ["Socket.fromfd", "Socket.close"],
    how: "`Socket.fromfd(fd).close()`, or `closeSync(fd)` of `node:fs`",
  },
  "function dup": { ours: ["Socket.dup"], how: "a method, because the descriptor belongs to a socket" },
  "function fromfd": {
    ours: ["Socket.fromfd"],
    how: "takes over the descriptor; call `dup()` for a duplicate",
  },
  "class AddressFamily": { ours: ["AF_INET"], how: "families are plain numbers" },
  "class AddressInfo": { ours: ["AI_PASSIVE"], how: "flags are plain numbers" },
  "class MsgFlag": { ours: ["MSG_PEEK"], how: "flags are plain numbers" },
  "class SocketKind": { ours: ["SOCK_STREAM"], how: "types are plain numbers" },
  "class SocketIO": {
    ours: ["Stream"],
    how: "Python's `makefile` returns a `SocketIO`; `stream()` returns a `Stream`",
  },
  "class SocketType": { ours: ["Socket"], how: "there is one class" },
  "class socket": { ours: ["Socket"], how: "`with` becomes `using` or `await using`" },
  "exception error": { ours: ["SocketError"], how: "`code` has the name of the errno" },
  "exception gaierror": { ours: ["SocketError"], how: "`code` is `EAI_NONAME` or another `EAI_` code" },
  "exception herror": { ours: ["SocketError"], how: "`code` is `EAI_NONAME` or another `EAI_` code" },
  "exception timeout": { ours: ["TimeoutError"], how: "a `SocketError` whose `code` is `ETIMEDOUT`" },
  "member connect_ex": {
    ours: ["Socket.connect"],
    how: "rejects instead; `errno` of the SocketError is the negative number",
  },
  "member get_inheritable": { ours: ["Socket.fileno"], how: "always false, because every descriptor is close-on-exec" },
  "member set_inheritable": {
    ours: ["Socket.fileno"],
    how: "there is no such call; pass the descriptor to a child with `stdio: [0, 1, 2, socket.fileno()]` of `spawn()`",
  },
  "member getblocking": { ours: ["Socket.timeout"], how: "`timeout !== 0`" },
  "member setblocking": {
    ours: ["MSG_DONTWAIT", "Socket.timeout"],
    how: "`flags: MSG_DONTWAIT` for a call, `timeout = null` for the socket; `detach({ blocking: true })` returns a blocking descriptor",
  },
  "member gettimeout": { ours: ["Socket.timeout"], how: "in ms" },
  "member settimeout": { ours: ["Socket.timeout"], how: "in ms" },
  "member timeout": { ours: ["Socket.timeout"], how: "in ms; the program can set it" },
  "member makefile": { ours: ["Socket.stream"], how: "the buffered stream" },
  "member proto": { ours: ["Socket.protocol"] },
  "member recv_into": { ours: ["Socket.recvInto"] },
  "member recvfrom_into": { ours: ["Socket.recvfromInto"] },
  "member recvmsg_into": { ours: ["Socket.recvmsgInto"] },
  "member sendall": { ours: ["Socket.sendAll"] },
  "constant EAGAIN": { ours: ["SocketError"], how: "`code` of the error" },
  "constant EWOULDBLOCK": { ours: ["SocketError"], how: "`code` of the error, which is `EAGAIN`" },
  "constant EBADF": { ours: ["SocketError"], how: "`code` of the error" },
  "constant PF_PACKET": { ours: ["AF_PACKET"], how: "the same number" },
};

/** Why a name has no counterpart: a pattern for `kind name`, and the reason. */
const reasons = [
  [/^member sendmsg_afalg$/, "the kernel's cryptography (`AF_ALG`) is out of scope; `node:crypto` has it"],
  [/^constant (AF_ALG|ALG_|SOL_ALG)/, "the kernel's cryptography is out of scope; `node:crypto` has it"],
  [/^constant (AF_CAN|PF_CAN|CAN_|SOL_CAN_|J1939_|SCM_J1939_|SO_J1939_)/, "CAN is out of scope"],
  [/^constant (AF_RDS|PF_RDS|SOL_RDS|RDS_)/, "RDS is out of scope"],
  [/^constant (AF_TIPC|SOL_TIPC|TIPC_)/, "TIPC is out of scope"],
  [/^constant (AF_BLUETOOTH|BT|HCI_|BDADDR_)/, "Bluetooth is out of scope"],
  [
    /^constant AF_/,
    "the package has no class for addresses of this family: pass its number to `new Socket()`, and its addresses as `OpaqueAddress`",
  ],
  [/^constant IOCTL_/, "the package does not call ioctl(2)"],
  [/^constant CAPI$/, "an interface for extensions of CPython"],
  [/^constant (SIO_|RCVALL_)/, "Windows only"],
  [/^constant ETHERTYPE_/, "types of Ethernet frames; the addresses of `AF_PACKET` take the number"],
  [/^constant SO_ORIGINAL_DST$/, "an option of netfilter; `getsockopt` takes the number"],
];

async function load(entry) {
  const file = join(root, "out", "lib", entry, "index.js");
  if (!existsSync(file)) fail(`${file} is missing: run npm run setup`);
  return import(file);
}

/** Whether an entry has a name: `poll`, or a member such as `Socket.recv`. */
function has(entry, name) {
  if (!name.startsWith("Socket.")) return name in entry;
  const member = name.slice("Socket.".length);
  // The constructor sets these three fields, so the prototype does not have them.
  return member in entry.Socket.prototype || member in entry.Socket || ["family", "type", "protocol"].includes(member);
}

function counterpart(kind, name, entry) {
  const known = renamed[`${kind} ${name}`];
  if (known !== undefined) return known;
  const same = kind === "member" ? `Socket.${name}` : name;
  return has(entry, same) ? { ours: [same] } : undefined;
}

function toRow([kind, name], awaitable, blocking) {
  const found = counterpart(kind, name, awaitable);
  if (found === undefined) {
    const [, reason] = reasons.find(([pattern]) => pattern.test(`${kind} ${name}`)) ?? [];
    if (reason === undefined) fail(`${kind} ${name} of Python has neither a counterpart nor a reason`);
    return { kind, name, ours: [], blocking: false, reason };
  }
  const missing = found.ours.find((one) => !has(awaitable, one));
  if (missing !== undefined) fail(`${kind} ${name}: berkeley has no ${missing}`);
  return { kind, name, ours: found.ours, blocking: found.ours.every((one) => has(blocking, one)), how: found.how };
}

const python = readPythonNames();
const awaitable = await load("");
const blocking = await load("sync");

/** The two halves of the page: [the text written by hand, the text that this script wrote]. */
function readPage() {
  const written = existsSync(page) ? readFileSync(page, "utf8") : "";
  const at = written.indexOf(MARK);
  if (at === -1) fail(`docs/python.md has no line ${MARK.trim()}`);
  return [written.slice(0, at + MARK.length), written.slice(at + MARK.length)];
}

const [byHand, generated] = readPage();

/** The names on the page, in the order of Python's lists. */
function pageNames() {
  const names = [];
  let kind = "";
  const kinds = { Functions: "function", "Members of the socket": "member", Classes: "class", Exceptions: "exception" };
  for (const line of generated.split("\n")) {
    if (line.startsWith("### ")) kind = kinds[line.slice(4)] ?? "constant";
    else if (kind === "constant") {
      const listed = /^- `(\w+)`/.exec(line) ?? [];
      if (listed.length > 0) names.push([kind, listed[1]]);
      const several =
        /^\d+ constants have the same name: (.*)\.$/.exec(line) ?? /^\| .* \| ((?:`\w+`(?:, )?)+) \|$/.exec(line);
      for (const [, name] of several?.[1].matchAll(/`(\w+)`/g) ?? []) names.push([kind, name]);
    } else {
      const [, name] = /^\| `(?:socket\.)?(\w+)` \|/.exec(line) ?? [];
      if (kind !== "" && name !== undefined) names.push([kind, name]);
    }
  }
  // Python sorts the names by code units. The members of the socket follow all other names.
  const key = ([group, name]) => `${group === "member" ? 1 : 0}${name}`;
  return names.sort((one, other) => (key(one) < key(other) ? -1 : 1));
}

const isBefore = ([major, minor], [otherMajor, otherMinor]) =>
  major < otherMajor || (major === otherMajor && minor < otherMinor);

/** Compares the names on the page with those of this Python, which may be of another version. */
function compareNames(onPage) {
  const version = python.version.join(".");
  if (isBefore(python.version, OLDEST)) fail(`python3 is ${version}, required ${OLDEST.join(".")} or later`);
  const key = ([kind, name]) => `${kind} ${name}`;
  const [here, there] = [new Set(python.names.map(key)), new Set(onPage.map(key))];
  const missing = [...there].filter((name) => !here.has(name));
  const extra = [...here].filter((name) => !there.has(name));
  const strict = (name) => version === PAGE_VERSION.join(".") || !name.startsWith("constant ");
  const since = (name) => ADDED[name]?.split(".").map(Number);
  for (const name of missing.filter(strict)) {
    const first = since(name);
    if (first === undefined || !isBefore(python.version, first)) {
      fail(
        `Python ${version} has no ${name}, which docs/python.md has: run node scripts/parity.mjs, or add it to ADDED`,
      );
    }
  }
  for (const name of extra.filter(strict)) {
    const first = since(name);
    if (first === undefined || !isBefore(PAGE_VERSION, first)) {
      fail(`docs/python.md has no ${name} of Python ${version}: run node scripts/parity.mjs, or add it to ADDED`);
    }
  }
  const listed = [...there].filter((name) => name.startsWith("constant "));
  const found = listed.filter((name) => here.has(name)).length;
  if (100 * found < MIN_CONSTANTS_PERCENT * listed.length) {
    fail(
      `Python ${version} has ${found} of the ${listed.length} constants of docs/python.md, ` +
        `required ${MIN_CONSTANTS_PERCENT} %`,
    );
  }
}

// Under every version of Python, each name must have a counterpart or a reason. toRow() fails otherwise.
const ownRows = python.names.map((name) => toRow(name, awaitable, blocking));
const checks = process.argv.includes("--check");
const rows = checks ? pageNames().map((name) => toRow(name, awaitable, blocking)) : ownRows;

/** How many rows of these kinds there are, and how many have a counterpart. */
function count(...kinds) {
  const these = rows.filter(({ kind }) => kinds.includes(kind));
  const covered = these.filter(({ ours }) => ours.length > 0).length;
  return { all: these.length, covered, percent: Math.floor((1000 * covered) / these.length) / 10 };
}

function table(kind) {
  const prefix = kind === "member" ? "socket." : "";
  const lines = rows
    .filter((row) => row.kind === kind)
    .map(({ blocking: twin, how, name, ours, reason }) => {
      const names = ours.map((one) => `\`${one}\``).join(", ");
      const here = ours.length === 0 ? `none: ${reason}` : how === undefined ? names : `${names}: ${how}`;
      return `| \`${prefix}${name}\` | ${here} | ${ours.length === 0 ? "" : twin ? "yes" : "no"} |`;
    });
  return ["| Python | berkeley | berkeley/sync |", "|---|---|---|", ...lines].join("\n");
}

/** The text about constants. Those that have a counterpart of the same name are in one list, not in a table. */
function constants() {
  const its = rows.filter(({ kind }) => kind === "constant");
  const same = its.filter(({ how, ours }) => ours.length > 0 && how === undefined).map(({ name }) => `\`${name}\``);
  const others = its.filter(({ how, ours }) => ours.length > 0 && how !== undefined);
  const byReason = new Map();
  for (const { name, ours, reason } of its) {
    if (ours.length === 0) byReason.set(reason, [...(byReason.get(reason) ?? []), `\`${name}\``]);
  }
  return `${same.length} constants have the same name: ${same.join(", ")}.

${others.map(({ how, name, ours }) => `- \`${name}\`: \`${ours[0]}\`, ${how}`).join("\n")}

The other constants have no counterpart:

| why | constants |
|---|---|
${[...byReason].map(([reason, names]) => `| ${reason} | ${names.join(", ")} |`).join("\n")}`;
}

const summary = (label, { all, covered, percent }) => `| ${label} | ${all} | ${covered} | ${percent} % |`;
const calls = count("function", "member");

const text = `
## Name by name

This part lists every public name of the \`socket\` module of Python ${PAGE_VERSION.join(".")}, and every member of its
\`socket\` class, with its counterpart in this package. \`node scripts/parity.mjs\` writes it from the names of the
installed Python and of the package, and a test compares them. The last column says whether
\`berkeley/sync\` has the name too.

| | in Python | with a counterpart | |
|---|---|---|---|
${summary("functions", count("function"))}
${summary("members of the socket", count("member"))}
${summary("functions and members", calls)}
${summary("classes", count("class"))}
${summary("exceptions", count("exception"))}
${summary("constants", count("constant"))}

### Functions

${table("function")}

### Members of the socket

${table("member")}

### Classes

${table("class")}

### Exceptions

${table("exception")}

### Constants

${constants()}
`;

if (calls.percent < MIN_COUNTERPARTS_PERCENT) {
  fail(
    `${calls.percent} % of Python's functions and members have a counterpart, required ${MIN_COUNTERPARTS_PERCENT} %`,
  );
}
if (process.argv.includes("--json")) {
  process.stdout.write(JSON.stringify({ version: python.version, calls, rows }));
} else if (checks) {
  compareNames(pageNames());
  if (generated !== text) {
    fail("docs/python.md differs from what the package says: run node scripts/parity.mjs");
  }
} else if (python.version.join(".") !== PAGE_VERSION.join(".")) {
  fail(`python3 is ${python.version.join(".")}, required ${PAGE_VERSION.join(".")}, which the page is about`);
} else {
  writeFileSync(page, byHand + text);
  process.stdout.write(`parity: ${calls.covered} of ${calls.all} functions and members (${calls.percent} %)\n`);
}
