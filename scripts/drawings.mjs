// Makes the drawings of docs/tutorial.md:
//
//   node scripts/drawings.mjs             writes docs/images/*.svg
//   node scripts/drawings.mjs --folder F  writes them into another folder, for the test
//
// Each drawing has two files, light and dark, and the page chooses one with <picture>. One SVG with a media query would
// not do: it follows the colors of the browser, and a web site for repositories can have other colors.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const THEMES = {
  light: {
    ground: "#ffffff",
    text: "#1f2328",
    faint: "#59636e",
    line: "#818b98",
    client: "#8250df",
    server: "#0969da",
    box: "#f6f8fa",
    bytes: "#2da44e",
  },
  dark: {
    ground: "#0d1117",
    text: "#f0f6fc",
    faint: "#9198a1",
    line: "#656c76",
    client: "#bc8cff",
    server: "#58a6ff",
    box: "#151b23",
    bytes: "#3fb950",
  },
};

const WIDTH = 900;

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function styles(theme) {
  return [
    'text { font: 14px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }',
    '.code { font: 13px ui-monospace, Menlo, "DejaVu Sans Mono", monospace; }',
    ".head { font-size: 16px; font-weight: 600; }",
    ".middle { text-anchor: middle; }",
    ".end { text-anchor: end; }",
    `.text { fill: ${theme.text}; }`,
    `.faint { fill: ${theme.faint}; }`,
    `.client { fill: ${theme.client}; }`,
    `.server { fill: ${theme.server}; }`,
    `.bytes { fill: ${theme.bytes}; }`,
    `.box { fill: ${theme.box}; stroke: ${theme.line}; }`,
    `.client-box { fill: ${theme.box}; stroke: ${theme.client}; }`,
    `.server-box { fill: ${theme.box}; stroke: ${theme.server}; }`,
    `.line { stroke: ${theme.line}; }`,
    `.arrow { stroke: ${theme.text}; stroke-width: 1.5; }`,
    `.tip { fill: ${theme.text}; }`,
    ".dashed { stroke-dasharray: 5 4; }",
  ];
}

function svg(theme, { title, description }, height, parts) {
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ` +
      'role="img" aria-labelledby="title description">',
    `<title id="title">${escape(title)}</title>`,
    `<desc id="description">${escape(description)}</desc>`,
    "<style>",
    ...styles(theme),
    "</style>",
    `<rect width="${WIDTH}" height="${height}" rx="8" fill="${theme.ground}"/>`,
    ...parts,
    "</svg>",
  ];
  return `${lines.join("\n")}\n`;
}

const text = (x, y, content, classes = "text") =>
  `<text x="${x}" y="${y}" class="${classes}">${escape(content)}</text>`;
const line = (x1, y1, x2, y2, classes = "line") =>
  `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" class="${classes}"/>`;
const rect = (x, y, width, height, classes = "box", radius = 6) =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="${radius}" class="${classes}"/>`;

/** A line with an arrowhead at its second end. */
function arrow(x1, y1, x2, y2, classes = "arrow") {
  const angle = (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI;
  const turn = `translate(${x2} ${y2}) rotate(${angle.toFixed(1)})`;
  return [line(x1, y1, x2, y2, classes), `<path d="M0 0 L-11 -5 L-11 5 Z" class="tip" transform="${turn}"/>`].join("");
}

const LIFELINES = { client: 270, server: 630 };
const PILL = { width: 112, height: 24 };
const ROW = 38;
const ARROW_ROW = 46;

/** The parts of one side in a row: the call or the event beside the lifeline, and the state on it. */
function side(name, y, { call, event, state }) {
  const x = LIFELINES[name];
  const outer = name === "client" ? x - PILL.width / 2 - 14 : x + PILL.width / 2 + 14;
  const anchor = name === "client" ? " end" : "";
  const parts = [];
  if (state !== undefined) {
    parts.push(rect(x - PILL.width / 2, y - PILL.height / 2, PILL.width, PILL.height, `${name}-box`, 12));
    parts.push(text(x, y + 4.5, state, `code middle ${name}`));
  } else {
    parts.push(`<circle cx="${x}" cy="${y}" r="4" class="${name}"/>`);
  }
  if (call !== undefined) parts.push(text(outer, y + 4.5, call, `code text${anchor}`));
  if (event !== undefined) parts.push(text(outer, y + 5, event, `faint${anchor}`));
  return parts;
}

/** A packet between the lifelines, with its name above the middle. */
function packet(y, { from, label, words }) {
  const [start, end] = from === "client" ? ["client", "server"] : ["server", "client"];
  const gap = from === "client" ? 6 : -6;
  const middle = (LIFELINES.client + LIFELINES.server) / 2;
  return [
    arrow(LIFELINES[start] + gap, y - 2, LIFELINES[end] - gap, y + 14),
    text(middle, y - 7, label, "head text middle"),
    ...(words === undefined ? [] : [text(middle, y + 29, words, "faint middle")]),
  ];
}

/** A sequence diagram: the lifelines of client and server with their calls and states, and the packets between them. */
function sequence(about, rows) {
  let y = 84;
  const parts = [];
  for (const row of rows) {
    if (row.from === undefined) {
      for (const name of ["client", "server"]) if (row[name] !== undefined) parts.push(...side(name, y, row[name]));
      y += ROW;
    } else {
      parts.push(...packet(y, row));
      y += ARROW_ROW + (row.words === undefined ? 0 : 10);
    }
  }
  const bottom = y - 14;
  const lifelines = ["client", "server"].flatMap((name) => [
    text(LIFELINES[name], 38, name, `head middle ${name}`),
    line(LIFELINES[name], 52, LIFELINES[name], bottom),
  ]);
  return (theme) => svg(theme, about, bottom + 18, [...lifelines, ...parts]);
}

const handshake = sequence(
  {
    title: "The handshake of TCP",
    description:
      "The client sends SYN and its socket is in the state SYN_SENT. The kernel of the server answers SYN and ACK. " +
      "With that answer connect() resolves. The client sends ACK, and the kernel of the server puts the connection " +
      "into the accept queue. accept() takes it from there.",
  },
  [
    { client: { state: "CLOSE", call: "new Socket()" }, server: { state: "LISTEN", call: "server.listen(5)" } },
    { client: { state: "SYN_SENT", call: "client.connect(…)" } },
    { from: "client", label: "SYN" },
    { server: { state: "SYN_RECV", event: "only the kernel acts" } },
    { from: "server", label: "SYN + ACK" },
    { client: { state: "ESTABLISHED", event: "connect() resolves" } },
    { from: "client", label: "ACK" },
    { server: { state: "ESTABLISHED", event: "accept queue: 1" } },
    { server: { call: "server.accept()" } },
    { server: { event: "accept queue: 0" } },
  ],
);

const close = sequence(
  {
    title: "The close of a TCP connection",
    description:
      "The client closes first and sends FIN. The server's recv() returns 0 bytes, and its socket is in the state " +
      "CLOSE_WAIT until the server closes too. Then the server sends FIN. The client's kernel acknowledges it and " +
      "keeps the connection in TIME_WAIT for a minute.",
  },
  [
    { client: { state: "ESTABLISHED" }, server: { state: "ESTABLISHED" } },
    { client: { state: "FIN_WAIT1", call: "client.close()" } },
    { from: "client", label: "FIN", words: "no more bytes from the client" },
    { server: { state: "CLOSE_WAIT", event: "recv() returns 0 bytes" } },
    { from: "server", label: "ACK" },
    { client: { state: "FIN_WAIT2" }, server: { event: "not closed yet" } },
    { server: { state: "LAST_ACK", call: "conn.close()" } },
    { from: "server", label: "FIN", words: "no more bytes from the server" },
    { client: { state: "TIME_WAIT", event: "for one minute" } },
    { from: "client", label: "ACK" },
    { server: { state: "CLOSE", event: "nothing is left" } },
  ],
);

/** A buffer with `full` of its cells holding bytes. */
function buffer(x, y, name, full, fillFromRight) {
  const cells = 10;
  const width = 20;
  const parts = [text(x, y - 10, name, "text")];
  for (let cell = 0; cell < cells; cell++) {
    const used = fillFromRight ? cell >= cells - full : cell < full;
    parts.push(rect(x + cell * (width + 2), y, width, 34, used ? "bytes" : "box", 3));
  }
  return parts;
}

function queues(theme) {
  const about = {
    title: "The queues in the kernel",
    description:
      "send() copies bytes from the program into the send buffer of its kernel. The network carries them into the " +
      "receive buffer of the other kernel, and recv() copies them from there into the program. The receiver tells the " +
      "sender how much room is left. A listening socket has an accept queue: accept() takes connections from it.",
  };
  const [left, right, boxWidth] = [40, 622, 238];
  const parts = [
    // Programs
    rect(left, 24, boxWidth, 64, "client-box"),
    text(left + boxWidth / 2, 50, "the client program", "head middle client"),
    text(left + boxWidth / 2, 74, "client.sendAll(bytes)", "code middle text"),
    rect(right, 24, boxWidth, 64, "server-box"),
    text(right + boxWidth / 2, 50, "the server program", "head middle server"),
    text(right + boxWidth / 2, 74, "conn.recv(1024)", "code middle text"),
    // The border of the kernel
    line(20, 128, WIDTH - 20, 128, "line dashed"),
    text(WIDTH / 2, 119, "programs", "faint middle"),
    text(WIDTH / 2, 147, "kernel", "faint middle"),
    // A connection
    arrow(left + 110, 92, left + 110, 176),
    ...buffer(left + 9, 206, "send buffer (send-q)", 6, true),
    ...buffer(right + 9, 206, "receive buffer (recv-q)", 4, true),
    arrow(right + 190, 176, right + 190, 92),
    arrow(left + boxWidth + 12, 216, right - 6, 216),
    text(WIDTH / 2, 206, "segments with bytes", "text middle"),
    arrow(right - 6, 236, left + boxWidth + 12, 236, "arrow dashed"),
    text(WIDTH / 2, 256, "ACK, and the room that is left (window)", "faint middle"),
    text(left + 9, 272, "Full: send() takes fewer bytes,", "faint"),
    text(left + 9, 292, "sendAll() waits.", "faint"),
    text(right + 9, 272, "Empty: recv() waits.", "faint"),
    text(right + 9, 292, "Full: the window is 0.", "faint"),
    // The accept queue
    line(20, 318, WIDTH - 20, 318, "line"),
    text(left, 350, "listening socket", "head server"),
    text(left, 374, "server.listen(5)", "code text"),
    ...[0, 1, 2, 3, 4, 5].map((slot) => rect(300 + slot * 46, 344, 40, 34, slot > 2 ? "bytes" : "box", 4)),
    text(300, 400, "accept queue: connections after the handshake", "faint"),
    arrow(216, 361, 292, 361),
    text(254, 350, "ACK", "faint middle"),
    arrow(582, 361, 646, 361),
    text(658, 366, "server.accept()", "code text"),
  ];
  return svg(theme, about, 422, parts);
}

/** All files, as [name, text]. */
export function drawings() {
  const all = { handshake, queues, close };
  return Object.entries(all).flatMap(([name, draw]) =>
    Object.entries(THEMES).map(([theme, colors]) => [`${name}-${theme}.svg`, draw(colors)]),
  );
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { folder: { type: "string", default: join(root, "docs", "images") } } });
  mkdirSync(values.folder, { recursive: true });
  for (const [name, content] of drawings()) writeFileSync(join(values.folder, name), content);
}
