// The table of a step of a lesson: the sockets before and after the step, as the kernel reports them.

import type { ComponentChildren, JSX } from "preact";

import type { LessonSocket } from "../src/inspect/protocol.js";
import { byteCountText, visible } from "./format.js";
import { StatePill } from "./parts.js";

/** A column of the table. */
interface Field {
  readonly title: string;
  readonly text: (socket: LessonSocket) => string;
}

const queueText = (byteCount: number | null): string => {
  if (byteCount === null) return "–";
  return byteCount === 0 ? "0" : byteCountText(byteCount);
};

const FIELDS: readonly Field[] = [
  { title: "local", text: ({ local }) => visible(local ?? "–") },
  { title: "peer", text: ({ peer }) => visible(peer ?? "–") },
  { title: "recv-q", text: ({ receiveQueue }) => queueText(receiveQueue) },
  { title: "send-q", text: ({ sendQueue }) => queueText(sendQueue) },
  { title: "accept-q", text: ({ acceptQueue: queue }) => (queue === null ? "–" : `${queue.length} of ${queue.limit}`) },
];

export function KernelTable({
  before,
  after,
}: {
  readonly before: readonly LessonSocket[];
  readonly after: readonly LessonSocket[];
}): JSX.Element {
  const names = [...new Set([...before, ...after].map(({ name }) => name))];
  if (names.length === 0) return <p class="faint">No socket exists after this step.</p>;
  const changeOf = (was: string | undefined, now: string): ComponentChildren => {
    if (was === now || was === undefined || was === "–") return now;
    return (
      <>
        <span class="was">{was}</span> <span aria-label="became">→</span> <b>{now}</b>
      </>
    );
  };
  return (
    <div class="table-box" tabIndex={0} role="group" aria-label="What the kernel says">
      <table class="plain-table kernel">
        <caption>What the kernel says</caption>
        <thead>
          <tr>
            <th scope="col">socket</th>
            <th scope="col">state</th>
            {FIELDS.map(({ title }) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {names.map((name) => {
            const was = before.find((socket) => socket.name === name);
            const now = after.find((socket) => socket.name === name);
            const isChanged = ({ text }: Field): boolean =>
              was !== undefined && now !== undefined && text(was) !== text(now);
            return (
              <tr key={name} class={now === undefined ? "closed" : ""}>
                <th scope="row">{name}</th>
                <td>
                  {was !== undefined && was.state !== now?.state && (
                    <>
                      <StatePill state={was.state} /> <span aria-label="became">→</span>{" "}
                    </>
                  )}
                  {was === undefined && <span class="new">new </span>}
                  <StatePill state={now?.state ?? "closed"} />
                </td>
                {FIELDS.map((field) => (
                  <td key={field.title} class={isChanged(field) ? "changed" : ""}>
                    {now === undefined ? field.text(was!) : changeOf(was && field.text(was), field.text(now))}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
