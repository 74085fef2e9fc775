// The command `daytime`: a server that sends the date and the time (RFC 867).

import { type Command, define, flag } from "../frame/command.js";
import { SERVER_OPTIONS, WHERE_TO_LISTEN } from "../servers/plan.js";

export const command: Command = define({
  name: "daytime",
  summary: "a server that sends the date and the time",
  description: [
    "Sends each client a line with the date and the time in the format of ISO 8601, and closes the connection. With " +
      "UDP, the answer to a datagram is such a line (RFC 867).",
  ],
  arguments: [WHERE_TO_LISTEN],
  options: { ...SERVER_OPTIONS, local: flag("--local", "the local time instead of UTC") },
  examples: [
    { about: "On port 9013 of the loopback interface", command: "berkeley daytime 9013" },
    { about: "To ask it", command: "berkeley connect 9013" },
  ],
  seeAlso: ["date(1)", "berkeley-echo(1)"],
  async run(invocation) {
    const { serve } = await import("../servers/serve.js");
    const format = invocation.options.local ? formatLocalTime : formatUtc;
    const line = (): Buffer => Buffer.from(`${format(new Date())}\r\n`);
    return serve(invocation, { serve: (client) => client.write(line()), answer: line });
  },
});

/** UTC without milliseconds, such as 2026-11-28T20:12:07Z. */
function formatUtc(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}

/** The local time with its offset, such as 2026-11-28T21:12:07+01:00. */
function formatLocalTime(date: Date): string {
  const offsetMinutes = -date.getTimezoneOffset();
  const twoDigits = (number: number): string => String(Math.abs(number)).padStart(2, "0");
  // toISOString() prints UTC, so the date is moved by the offset.
  const localTime = new Date(date.getTime() + offsetMinutes * 60_000).toISOString().slice(0, 19);
  const sign = offsetMinutes < 0 ? "-" : "+";
  return `${localTime}${sign}${twoDigits(Math.trunc(offsetMinutes / 60))}:${twoDigits(offsetMinutes % 60)}`;
}
