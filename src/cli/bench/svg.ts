// Draws latencies by percentile as SVG. The scale of the percentiles is logarithmic: 90, 99 and 99.9 % have equal
// distances. So a position on this scale is a number of nines: 1 is 90 %, 2 is 99 %, 3 is 99.9 %.

import { formatTime } from "../frame/units.js";
import type { Latencies } from "./latencies.js";

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 80;
const BOTTOM = 50;
const TOP = 40;
const RIGHT = 30;
/** The number of nines at the end of the scale: 99.999 %. */
const NINES = 5;
/** Number of points of the line from one number of nines to the next. */
const POINTS = 40;
/** In place of 0, which Node's histogram refuses as a percentile. */
const LOWEST_PERCENTILE = 0.001;

const percent = (nines: number): number => 100 - 100 / 10 ** nines;

export function toSvg(latencies: Latencies, title: string): string {
  // The vertical scale ends 5 % above the latency at 99.999 %, the highest point of the line. So the line does not
  // touch the upper edge. `y` divides by `highest`, which must not be 0.
  const highest = Math.max(latencies.percentile(percent(NINES)), 1e-6) * 1.05;
  const x = (nines: number): string => (LEFT + (nines / NINES) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (time: number): string => (HEIGHT - BOTTOM - (time / highest) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const points = Array.from({ length: NINES * POINTS + 1 }, (_, index) => {
    const nines = index / POINTS;
    return `${x(nines)},${y(latencies.percentile(Math.max(LOWEST_PERCENTILE, percent(nines))))}`;
  });
  const verticalLines = Array.from({ length: NINES + 1 }, (_, nines) => {
    const label = nines === 0 ? "0 %" : `${Number(percent(nines).toFixed(3))} %`;
    return (
      `<line x1="${x(nines)}" y1="${TOP}" x2="${x(nines)}" y2="${HEIGHT - BOTTOM}" stroke="#ddd"/>` +
      `<text x="${x(nines)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle">${label}</text>`
    );
  });
  const horizontalLines = [0, 0.25, 0.5, 0.75, 1].map((fraction) => {
    const time = fraction * highest;
    return (
      `<line x1="${LEFT}" y1="${y(time)}" x2="${WIDTH - RIGHT}" y2="${y(time)}" stroke="#ddd"/>` +
      `<text x="${LEFT - 8}" y="${y(time)}" text-anchor="end" dominant-baseline="middle">${formatTime(time)}</text>`
    );
  });
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="24" font-size="15">${escapeXml(title)}</text>`,
    ...verticalLines,
    ...horizontalLines,
    `<polyline fill="none" stroke="#06c" stroke-width="2" points="${points.join(" ")}"/>`,
    "</svg>",
  ].join("\n")}\n`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
