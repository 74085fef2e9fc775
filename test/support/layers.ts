// The table of layers: which layer of src/ may import which, and the check of the sources against the table.
//
// When the check fails, the import is wrong and not the table. A change of the table is a decision about the design,
// and docs/design.md, which has the same table, explains it.

/** The imports that are allowed in the files of a layer. Files of the same layer and `node:` modules always are. */
interface Policy {
  /** Layers whose values and types may be imported. */
  readonly values: readonly string[];
  /** Layers of which only types may be imported, with `import type`. They are not loaded at run time. */
  readonly types?: readonly string[];
  /** Packages that may be imported by name. Most layers have none, because the package has no dependency. */
  readonly packages?: readonly string[];
}

/** The layers. A layer is a folder of src/, or a file directly in src/, by its name without `.ts`. */
export const policy: Readonly<Record<string, Policy>> = {
  builtins: { values: [] },
  callbacks: { values: ["builtins"] },
  check: { values: [] },
  registry: { values: ["builtins"] },
  // builtins: Node has the texts of the system's errors.
  errors: { values: ["builtins"] },
  io: { values: [], types: ["addr"] },
  addr: { values: ["check"] },
  // Below two kinds of layers that must not import each other: calls of sockets wait in one, calls in JavaScript in the
  // other.
  wait: { values: ["registry", "builtins", "check", "errors"], types: ["io"] },
  sys: { values: ["builtins", "check", "errors", "addr"] },
  options: { values: ["sys", "check", "addr"] },
  cmsg: { values: ["sys", "check", "errors", "addr"] },
  batch: { values: ["registry", "cmsg", "sys", "check", "addr"], types: ["errors"] },
  netdb: { values: ["registry", "sys", "wait", "check", "errors", "addr"] },
  reactor: { values: ["registry", "sys", "wait", "builtins"], types: ["errors"] },
  ops: {
    values: [
      "registry",
      "reactor",
      "batch",
      "cmsg",
      "options",
      "netdb",
      "sys",
      "wait",
      "callbacks",
      "check",
      "errors",
      "addr",
    ],
  },
  // The names that "berkeley" and "berkeley/sync" both export.
  common: { values: ["ops", "batch", "cmsg", "options", "netdb", "sys", "errors", "addr"], types: ["registry"] },
  // Buffers and read rules, which do not wait. Both kinds of streams use them.
  reading: { values: ["check", "errors"], types: ["io"] },
  stream: {
    values: ["reading", "registry", "wait", "builtins", "callbacks", "check", "errors", "io"],
    types: ["addr"],
  },
  // stream: for Socket.stream(), which makes a Stream over a SocketConn. Stream uses the interface Conn and no socket.
  socket: {
    values: [
      "registry",
      "stream",
      "ops",
      "reactor",
      "batch",
      "options",
      "netdb",
      "sys",
      "wait",
      "builtins",
      "callbacks",
      "check",
      "errors",
      "io",
      "addr",
    ],
    types: ["cmsg"],
  },
  sync: {
    values: [
      "registry",
      "reading",
      "common",
      "ops",
      "netdb",
      "sys",
      "wait",
      "reactor",
      "builtins",
      "callbacks",
      "check",
      "errors",
      "io",
      "addr",
    ],
    types: ["batch", "cmsg", "options"],
  },
  // The parts that the servers of net and of server share.
  admission: {
    values: ["proxyProtocol", "sys", "wait", "builtins", "callbacks", "check", "addr"],
    types: ["stream"],
  },
  tls: { values: ["registry", "stream", "wait", "builtins", "callbacks", "check", "errors", "addr"], types: ["io"] },
  net: {
    values: [
      "proxyProtocol",
      "registry",
      "admission",
      "socket",
      "tls",
      "stream",
      "ops",
      "options",
      "netdb",
      "sys",
      "wait",
      "builtins",
      "callbacks",
      "check",
      "errors",
      "addr",
    ],
    types: ["cmsg", "io"],
  },
  server: {
    values: [
      "registry",
      "proxyProtocol",
      "admission",
      "batch",
      "net",
      "stream",
      "wait",
      "builtins",
      "callbacks",
      "check",
      "errors",
      "addr",
    ],
    types: ["io", "socket"],
  },
  // connect() with the names of the WinterTC sockets proposal.
  wintertc: { values: ["net", "tls", "stream", "reading", "wait", "builtins", "check", "addr"], types: ["io"] },
  testing: { values: ["reading", "registry", "stream", "wait", "check", "errors"], types: ["sys", "io", "addr"] },
  // The inspector. It records system calls through the table of calls in sys, and finds objects in the registry.
  // node:http serves its page, so it does not record its own connections.
  inspect: {
    values: [
      "registry",
      "pcapng",
      "net",
      "socket",
      "batch",
      "cmsg",
      "options",
      "netdb",
      "sys",
      "wait",
      "builtins",
      "callbacks",
      "check",
      "errors",
      "addr",
    ],
    types: ["stream", "io"],
  },
  // A writer and a reader of captures, for users, the command line and the inspector.
  pcapng: { values: ["builtins", "check", "addr"] },
  proxyProtocol: { values: ["wait", "builtins", "check", "errors", "addr"], types: ["stream", "io"] },
  // commander: the parser of the command line, a development dependency that is bundled into chunks of its own.
  cli: { values: [], packages: ["berkeley", "commander"] },
  index: {
    values: ["registry", "net", "socket", "tls", "stream", "common", "netdb", "errors", "io", "addr"],
    types: ["proxyProtocol"],
  },
};

/** The only layer that loads the addon. */
const nativeLayer = "sys";

/** The layers that may use require(), for modules of Node. */
const requireLayers: readonly string[] = [nativeLayer, "builtins"];

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
  readonly line: number;
}

// The formatter puts import and export statements at the start of a line, so the expression finds no other text.
// Between the keyword and `from` there are names, braces, commas, and sometimes comments.
const names = String.raw`(?:[\w$*{},\s]|//[^\n]*|/\*[^]*?\*/)`;
const statement = new RegExp(
  String.raw`^(?:import|export)\s+(type\s+)?(?:${names}+?\sfrom\s+)?(["'])([^"'\n]+)\2[^;\n]*;?`,
  "gm",
);
const dynamic = /\bimport\s*\(\s*(?:(["'])([^"'\n]+)\1\s*[,)])?/g;

const lineAt = (text: string, index: number): number => text.slice(0, index).split("\n").length;

/** Replaces each comment that has lines of its own by spaces, so that examples in it do not count as code. */
function withoutComments(text: string): string {
  return text.replace(/^[ \t]*(?:\/\*[^]*?\*\/|\/\/[^\n]*)/gm, (comment) => comment.replace(/[^\n]/g, " "));
}

function importsOf(text: string): Import[] {
  const code = withoutComments(text);
  return [
    ...[...code.matchAll(statement)].map((match) => ({
      specifier: match[3] ?? "",
      typeOnly: match[1] !== undefined,
      line: lineAt(code, match.index),
    })),
    ...[...code.matchAll(dynamic)].map((match) => ({
      specifier: match[2] ?? "",
      typeOnly: false,
      line: lineAt(code, match.index),
    })),
  ];
}

/** The layer of a path in src/, such as `addr` for `addr/parse.ts` and `io` for `io.ts`. */
const layerOf = (path: string): string =>
  path.includes("/") ? path.slice(0, path.indexOf("/")) : path.replace(/\.ts$/, "");

/**
 * Resolves a relative specifier against the importing file. Both are paths in src/. Undefined for a file outside src/.
 */
function resolve(from: string, specifier: string): string | undefined {
  const url = new URL(specifier, `file:///src/${from}`);
  return url.pathname.startsWith("/src/") ? url.pathname.slice("/src/".length).replace(/\.js$/, ".ts") : undefined;
}

function checkImport(path: string, imported: Import): string | undefined {
  const layer = layerOf(path);
  const { values, types = [], packages = [] } = policy[layer] ?? { values: [] };
  const { specifier, typeOnly } = imported;
  if (specifier === "") return "a dynamic import names its module in a literal";
  if (specifier.startsWith("node:")) return undefined;
  if (!specifier.startsWith(".")) {
    if (packages.some((name) => specifier === name || specifier.startsWith(`${name}/`))) return undefined;
    return `${layer} may not import the package "${specifier}"`;
  }
  const target = resolve(path, specifier);
  if (target === undefined) return `"${specifier}" is outside src/`;
  const to = layerOf(target);
  if (to === layer || values.includes(to)) return undefined;
  if (!types.includes(to)) return `${layer} may not import ${to} ("${specifier}")`;
  return typeOnly ? undefined : `${layer} may import only types of ${to}, with "import type" ("${specifier}")`;
}

/** The violations in the sources, as `path:line: reason`. The keys of `files` are paths in src/. */
export function violations(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([path, text]) => {
    if (policy[layerOf(path)] === undefined) return [`${path}:1: ${layerOf(path)} is not a layer of the table`];
    const found = importsOf(text).flatMap((imported) => {
      const wrong = checkImport(path, imported);
      return wrong === undefined ? [] : [`${path}:${imported.line}: ${wrong}`];
    });
    const code = withoutComments(text);
    const layer = layerOf(path);
    const loading = requireLayers.includes(layer)
      ? /\bprocess\.dlopen\b|\.node["'`]/
      : /\bcreateRequire\b|\bprocess\.dlopen\b|\.node["'`]/;
    const native = layer === nativeLayer ? -1 : code.search(loading);
    if (native !== -1) found.push(`${path}:${lineAt(code, native)}: only ${nativeLayer} loads the addon`);
    if (/(^|\/)index\.ts$/.test(path) && code.replace(statement, "").trim() !== "") {
      found.push(`${path}:1: an index.ts only re-exports`);
    }
    return found;
  });
}
