// Ports and ranges of ports, as `22,80,8000-8100`.

import { ValueError, type ValueParser } from "./values.js";

export type PortRange = readonly [from: number, to: number];

/** Parses the ranges. A single port is a range too. */
export const ports: ValueParser<readonly PortRange[]> = (text) =>
  text.split(",").map((part) => {
    const [, first = "", last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    const [from, to] = first === "" ? [NaN, NaN] : [Number(first), Number(last)];
    if (from >= 1 && from <= to && to <= 65_535) return [from, to] as const;
    throw new ValueError("required ports from 1 to 65535 and ranges of them, such as 22,80,8000-8100");
  });
