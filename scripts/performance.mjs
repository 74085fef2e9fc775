// Writes the figures and the plots of docs/performance.md, from the results of `npm run bench -- … --json FILE`:
//
//   npm run performance -- FILE...             writes the page and docs/images/performance-*.svg
//   npm run performance -- --folder F FILE...  writes them into another folder, for the test
//
// The script replaces the part of the page between the two marks. The rest of the page is written by hand. Each plot
// has two files, light and dark, like the drawings of the tutorial.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { installTools } from "./installTools.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const BEGIN = "<!-- figures: written by scripts/performance.mjs -->";
const END = "<!-- end of the figures -->";

const THEMES = {
  light: {
    ground: "#ffffff",
    text: "#1f2328",
    faint: "#59636e",
    line: "#d1d9e0",
    ours: "#0969da",
    peer: "#9aa4af",
    bar: "#1f2328",
  },
  dark: {
    ground: "#0d1117",
    text: "#f0f6fc",
    faint: "#9198a1",
    line: "#3d444d",
    ours: "#58a6ff",
    peer: "#656c76",
    bar: "#f0f6fc",
  },
};
/** The percentiles of the latency plots: the name, the metrics, and the symbol. */
const PERCENTILES = [
  ["p50", /^(latency_)?p50_/, "circle"],
  ["p99", /^(latency_)?p99_/, "triangle"],
  ["p99.9", /^p999_/, "diamond"],
  ["worst", /^(worst|slowest)_/, "rect"],
];
/** The kinds of bar plots, and their metrics. */
const KINDS = [
  { name: "cpu", title: "CPU per operation, µs (less is better)", has: (metric) => /(^|_)cpu_us_per_/.test(metric) },
  {
    name: "throughput",
    title: "Operations per second (more is better)",
    has: (metric) => /per_second/.test(metric) && !/^(least|median|most)_/.test(metric),
  },
  {
    name: "memory",
    title: "Memory of an idle connection, bytes (less is better)",
    has: (metric) => metric.startsWith("bytes_per_connection"),
  },
];
/** Sizes in a plot, in pixels: its width, the height of a row with a bar, the space between two panels. */
const WIDTH = 860;
const ROW_HEIGHT = 18;
const PANEL_GAP = 64;

function fail(message) {
  process.stderr.write(`performance: ${message}\n`);
  process.exit(2);
}

const { values: options, positionals: files } = parseArgs({
  options: { folder: { type: "string" } },
  allowPositionals: true,
});
if (files.length === 0) fail("the results of a benchmark are required: npm run bench -- NAME... --json FILE");
const runs = files.map((file) => {
  const run = JSON.parse(readFileSync(file, "utf8"));
  if (!Array.isArray(run.figures)) fail(`${file} has no figures, required the results of a run without --against`);
  return run;
});
const figures = runs.flatMap((run) => run.figures);
const limits = runs.flatMap((run) => run.limits);

const isOurs = (subject) => subject.startsWith("berkeley") || subject === "serve";
const { init } = createRequire(join(installTools("charts"), "index.js"))("echarts");

/** The figures of one kind, grouped by their workload and title, in the order of the run. */
function panelsOf(kind) {
  const panels = new Map();
  for (const figure of figures.filter(({ metric }) => kind.has(metric))) {
    const key = `${figure.workload}: ${figure.title}`;
    if (!panels.has(key)) panels.set(key, []);
    panels.get(key).push(figure);
  }
  return [...panels].map(([title, rows]) => ({ title, rows }));
}

function latencyPanels() {
  const panels = new Map();
  for (const figure of figures) {
    const percentile = PERCENTILES.findIndex(([, pattern]) => pattern.test(figure.metric));
    if (percentile < 0) continue;
    const key = `${figure.workload}: ${figure.title}`;
    if (!panels.has(key)) panels.set(key, new Map());
    const bySubject = panels.get(key);
    if (!bySubject.has(figure.subject)) bySubject.set(figure.subject, []);
    // All latencies in milliseconds.
    bySubject.get(figure.subject)[percentile] = /_us/.test(figure.metric) ? figure.value / 1000 : figure.value;
  }
  return [...panels].map(([title, subjects]) => ({ title, subjects }));
}

/** Renders a chart as SVG, without a browser. `option` is an option object of ECharts. */
function svgOf(height, option) {
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  chart.setOption({ animation: false, textStyle: { fontFamily: "system-ui, sans-serif" }, ...option });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}

/** A series that draws the interval of each row as a line with ends, over its bar. */
function intervals(rows, color, index) {
  return {
    type: "custom",
    xAxisIndex: index,
    yAxisIndex: index,
    silent: true,
    data: rows.map(({ interval, value }, place) => [place, ...(interval ?? [value, value])]),
    renderItem(_, api) {
      const [low, y] = api.coord([api.value(1), api.value(0)]);
      const [high] = api.coord([api.value(2), api.value(0)]);
      const line = (x1, y1, x2, y2) => ({
        type: "line",
        shape: { x1, y1, x2, y2 },
        style: { stroke: color, lineWidth: 1 },
      });
      return {
        type: "group",
        children: [line(low, y, high, y), line(low, y - 3, low, y + 3), line(high, y - 3, high, y + 3)],
      };
    },
  };
}

function barsOf({ title }, panels, theme) {
  let top = 56;
  const grid = [];
  const xAxis = [];
  const yAxis = [];
  const series = [];
  const titles = [{ text: title, left: 16, top: 12, textStyle: { color: theme.text, fontSize: 16 } }];
  for (const [index, panel] of panels.entries()) {
    const height = panel.rows.length * ROW_HEIGHT;
    titles.push({
      text: panel.title,
      left: 16,
      top,
      textStyle: { color: theme.faint, fontSize: 12, fontWeight: "normal" },
    });
    grid.push({ left: 180, right: 40, top: top + 22, height });
    const text = { color: theme.faint, fontSize: 11 };
    xAxis.push({ gridIndex: index, type: "value", axisLabel: text, splitLine: { lineStyle: { color: theme.line } } });
    yAxis.push({
      gridIndex: index,
      type: "category",
      inverse: true,
      data: panel.rows.map(({ subject, value }) => `${subject}   ${textOf(value)}`),
      axisLabel: { color: theme.text, fontSize: 11, interval: 0 },
      axisLine: { lineStyle: { color: theme.line } },
      axisTick: { show: false },
    });
    series.push({
      type: "bar",
      xAxisIndex: index,
      yAxisIndex: index,
      barWidth: 11,
      data: panel.rows.map(({ subject, value }) => ({
        value,
        itemStyle: { color: isOurs(subject) ? theme.ours : theme.peer },
      })),
    });
    series.push(intervals(panel.rows, theme.bar, index));
    top += height + PANEL_GAP;
  }
  return svgOf(top + 8, { backgroundColor: theme.ground, title: titles, grid, xAxis, yAxis, series });
}

function latenciesOf(panels, theme) {
  let top = 56;
  const grid = [];
  const xAxis = [];
  const yAxis = [];
  const series = [];
  const titles = [
    {
      text: "Latency, ms (less is better): circle p50, triangle p99, diamond p99.9, square worst",
      left: 16,
      top: 12,
      textStyle: { color: theme.text, fontSize: 16 },
    },
  ];
  for (const [index, { subjects, title }] of panels.entries()) {
    const names = PERCENTILES.map(([name]) => name).filter((_, place) =>
      [...subjects.values()].some((row) => row[place] !== undefined),
    );
    const rows = [...subjects];
    const height = rows.length * ROW_HEIGHT * 1.4;
    titles.push({ text: title, left: 16, top, textStyle: { color: theme.faint, fontSize: 12, fontWeight: "normal" } });
    grid.push({ left: 180, right: 40, top: top + 22, height });
    xAxis.push({
      gridIndex: index,
      type: "log",
      axisLabel: { color: theme.faint, fontSize: 11 },
      splitLine: { lineStyle: { color: theme.line } },
    });
    yAxis.push({
      gridIndex: index,
      type: "category",
      inverse: true,
      data: rows.map(([subject]) => subject),
      axisLabel: { color: theme.text, fontSize: 11, interval: 0 },
      axisLine: { lineStyle: { color: theme.line } },
      axisTick: { show: false },
    });
    for (const name of names) {
      const place = PERCENTILES.findIndex(([one]) => one === name);
      series.push({
        type: "scatter",
        xAxisIndex: index,
        yAxisIndex: index,
        symbol: PERCENTILES[place][2],
        symbolSize: 8,
        data: rows.map(([subject, row]) => ({
          value: [row[place], subject],
          itemStyle: { color: isOurs(subject) ? theme.ours : theme.peer },
        })),
      });
    }
    top += height + PANEL_GAP;
  }
  return svgOf(top + 8, { backgroundColor: theme.ground, title: titles, grid, xAxis, yAxis, series });
}

function textOf(value) {
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const cell = (text) => String(text).replaceAll("|", "\\|");
const rangeOf = (value, interval) =>
  interval === null ? textOf(value) : `${textOf(value)} [${interval.map(textOf).join(", ")}]`;
const ratioOf = (value, interval) =>
  interval === null ? value.toFixed(2) : `${value.toFixed(2)} [${interval.map((end) => end.toFixed(2)).join(", ")}]`;

/** The text between the marks of the page. */
function figuresText() {
  const lines = [];
  for (const { absent = [], dropped = 0, machine } of runs) {
    const date = machine.date.slice(0, 10);
    const memory = (machine.memoryBytes / 2 ** 30).toFixed(0);
    lines.push(
      `Measured on ${date}: ${machine.cpu}, ${machine.cores} cores, ${memory} GiB, Linux ${machine.kernel},`,
      `Node.js ${machine.node}, ${machine.compiler}.`,
      `Rounds that were measured again, because other processes used the machine: ${dropped}.`,
      "",
    );
    for (const text of absent) lines.push(`- ${text}`);
    if (absent.length > 0) lines.push("");
  }
  lines.push("### Limits", "", "| workload | figure | limit | measured | |", "|---|---|---|---|---|");
  for (const { interval, label, met, peer, required, subject, title, value, workload } of limits) {
    const against = peer === null ? rangeOf(value, interval) : `${ratioOf(value, interval)} × ${peer}`;
    const wanted = peer === null ? required : `${required} × ${peer}`;
    lines.push(
      `| ${cell(`${workload}: ${title}`)} | ${cell(`${subject}, ${label}`)} | ${wanted} | ${against} | ${met ? "met" : "**missed**"} |`,
    );
  }
  const picture = (name, title) =>
    [
      "<picture>",
      `  <source media="(prefers-color-scheme: dark)" srcset="images/performance-${name}-dark.svg">`,
      `  <img src="images/performance-${name}-light.svg" alt="${title}">`,
      "</picture>",
    ].join("\n");
  lines.push("", "### All figures", "", "Each figure is a median, with its 95 % bootstrap interval in brackets.", "");
  for (const { name, title } of drawn) lines.push(picture(name, title), "");
  lines.push("| workload | subject | figure | median |", "|---|---|---|---|");
  for (const { interval, label, subject, title, value, workload } of figures) {
    lines.push(
      `| ${cell(`${workload}: ${title}`)} | ${cell(subject)} | ${cell(label)} | ${rangeOf(value, interval)} |`,
    );
  }
  return lines.join("\n");
}

const folder = options.folder === undefined ? join(root, "docs") : resolve(options.folder);
const images = join(folder, "images");
mkdirSync(images, { recursive: true });
const latencies = latencyPanels();
const drawn = KINDS.map((kind) => ({ ...kind, panels: panelsOf(kind) })).filter(({ panels }) => panels.length > 0);
for (const [theme, colors] of Object.entries(THEMES)) {
  for (const kind of drawn)
    writeFileSync(join(images, `performance-${kind.name}-${theme}.svg`), barsOf(kind, kind.panels, colors));
  if (latencies.length > 0)
    writeFileSync(join(images, `performance-latency-${theme}.svg`), latenciesOf(latencies, colors));
}
if (latencies.length > 0) drawn.push({ name: "latency", title: "Latency" });
const page = join(folder, "performance.md");
const before = existsSync(page) ? readFileSync(page, "utf8") : `# Performance\n\n${BEGIN}\n${END}\n`;
const [begin, end] = [before.indexOf(BEGIN), before.indexOf(END)];
if (begin < 0 || end < begin) fail(`${page} lacks the marks ${BEGIN} and ${END}`);
writeFileSync(page, `${before.slice(0, begin + BEGIN.length)}\n\n${figuresText()}\n\n${before.slice(end)}`);
process.stdout.write(`performance: wrote ${page} and ${drawn.length * 2} plots\n`);
