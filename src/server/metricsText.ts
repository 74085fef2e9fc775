// Metric families as text: OpenMetrics 1.0.0, and the text format 0.0.4 of Prometheus.
//
// In OpenMetrics, the name of a counter ends with `_total` in its samples, and not in its family. In the format 0.0.4
// it ends with `_total` in both. The format 0.0.4 has no units, no end marker and no state sets. State sets become
// gauges.

import { quote } from "../check/index.js";
import type { MetricFamily, MetricSample } from "./metricFamilies.js";

/** `"openmetrics"` is OpenMetrics 1.0.0, `"prometheus"` the text format 0.0.4. */
export type MetricsFormat = "openmetrics" | "prometheus";

export const CONTENT_TYPES: Readonly<Record<MetricsFormat, string>> = {
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
};
/** The last line of a text in OpenMetrics. */
export const END_MARKER = "# EOF\n";

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", '"': '\\"' };

const escape = (text: string, special: RegExp): string => text.replace(special, (character) => ESCAPES[character]!);

function numberText(value: number): string {
  if (value === Infinity) return "+Inf";
  if (value === -Infinity) return "-Inf";
  return String(value);
}

function refuse(name: string, value: unknown, required: string): never {
  throw new TypeError(`Cannot format metrics: ${name} is ${quote(value)}, required ${required}`);
}

function sampleText(name: string, { labels, value }: MetricSample): string {
  if (typeof value !== "number") refuse(`a value of ${name}`, value, "a number");
  const pairs = Object.entries(labels).map(([label, text]) => {
    if (!LABEL.test(label)) refuse(`a label of ${name}`, label, "letters, digits and _");
    if (typeof text !== "string") refuse(`the label ${label} of ${name}`, text, "a string");
    return `${label}="${escape(text, /[\\\n"]/g)}"`;
  });
  const labelText = pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
  return `${name}${labelText} ${numberText(value)}\n`;
}

/**
 * The text of metric families, which a scraper reads. In OpenMetrics it ends with `# EOF`.
 *
 * @throws TypeError for an unknown format, and for a name, a label or a value that the format does not allow
 * @see https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
 */
export function formatMetrics(families: readonly MetricFamily[], format: MetricsFormat = "openmetrics"): string {
  if (!Object.hasOwn(CONTENT_TYPES, format)) refuse("format", format, '"openmetrics" or "prometheus"');
  const isOpenMetrics = format === "openmetrics";
  let text = "";
  for (const { name, type, unit, help, samples } of families) {
    if (!NAME.test(name)) refuse("the name of a family", name, "letters, digits, _ and :");
    const sampleName = type === "counter" ? `${name}_total` : name;
    const familyName = isOpenMetrics ? name : sampleName;
    const typeName = type === "stateset" && !isOpenMetrics ? "gauge" : type;
    text += `# TYPE ${familyName} ${typeName}\n`;
    if (isOpenMetrics && unit !== undefined) {
      if (!name.endsWith(`_${unit}`)) refuse("the name of a family", name, `a name that ends with its unit _${unit}`);
      text += `# UNIT ${name} ${unit}\n`;
    }
    // Only OpenMetrics escapes quotes in the help text.
    text += `# HELP ${familyName} ${escape(help, isOpenMetrics ? /[\\\n"]/g : /[\\\n]/g)}\n`;
    for (const sample of samples) text += sampleText(sampleName, sample);
  }
  return isOpenMetrics ? text + END_MARKER : text;
}

/** The quality (`q=`) of an element of `Accept`, from its parameters: 1 if absent, and 0 if malformed. */
function qualityOf(parameters: readonly string[]): number {
  const parameter = parameters.find((text) => /^q=/i.test(text));
  return parameter === undefined ? 1 : Number(/^q=([01](?:\.\d{0,3})?)$/i.exec(parameter)?.[1] ?? 0);
}

/**
 * The format for a header `Accept`: OpenMetrics, unless the client prefers plain text or does not take version 1.0.0. A
 * client that takes neither gets OpenMetrics.
 */
export function formatFor(accept: string | undefined): MetricsFormat {
  let openMetricsQuality = 0;
  let plainQuality = 0;
  for (const element of (accept ?? "").split(",")) {
    const [media, ...parameters] = element.split(";").map((part) => part.trim());
    const version = parameters.find((text) => /^version=/i.test(text))?.slice("version=".length);
    const quality = qualityOf(parameters);
    if (/^application\/openmetrics-text$/i.test(media!)) {
      if (version === undefined || /^"?1\.0\.0"?$/.test(version)) {
        openMetricsQuality = Math.max(openMetricsQuality, quality);
      }
    } else if (/^text\/(?:plain|\*)$/i.test(media!)) {
      if (version === undefined || /^"?0\.0\.4"?$/.test(version)) plainQuality = Math.max(plainQuality, quality);
    }
  }
  return plainQuality > openMetricsQuality ? "prometheus" : "openmetrics";
}
