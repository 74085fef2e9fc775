// The tour: lessons on real sockets, in steps. The process runs each step, and reports the states, queues and packets.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import type { LessonPacket, LessonRun, LessonSocket, LessonStep, LessonSummary } from "../src/inspect/protocol.js";
import { bytes, plural, visible } from "./format.js";
import { Empty, Notice, StatePill } from "./parts.js";
import { ArrowLine } from "./sequence.js";

async function request<T>(method: string, path: string): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { method });
  } catch {
    throw new Error("The process does not answer. It may have ended.");
  }
  if (response.status === 403) throw new Error("The process refuses this page. Open the address that it printed.");
  if (!response.ok) {
    const text = (await response.text()).slice(0, 300);
    throw new Error(`The process answered with status ${response.status}${text === "" ? "" : `: ${visible(text)}`}`);
  }
  return (response.status === 204 ? undefined : await response.json()) as T;
}

const endRun = (id: string): void => {
  void fetch(`api/runs/${encodeURIComponent(id)}`, { method: "DELETE", keepalive: true }).catch(() => undefined);
};

const continues = (kind: "next" | "all", run: LessonRun): boolean => kind === "all" && !run.done;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function useLessons(): { lessons: readonly LessonSummary[] | null; error: string } {
  const [lessons, setLessons] = useState<readonly LessonSummary[] | null>(null);
  const [error, setError] = useState("");
  useEffect(() => {
    request<readonly LessonSummary[]>("GET", "api/lessons").then(setLessons, (reason: unknown) =>
      setError(messageOf(reason)),
    );
  }, []);
  return { lessons, error };
}

export function Tour({ lesson }: { readonly lesson: string | null }): JSX.Element {
  const { lessons, error } = useLessons();
  if (lessons === null) {
    return (
      <main class="page" id="main">
        <h1>Tour</h1>
        {error === "" ? (
          <p class="faint">Loading the lessons …</p>
        ) : (
          <Notice tone="bad" title="No lessons:">
            {error}
          </Notice>
        )}
      </main>
    );
  }
  const index = lessons.findIndex(({ name }) => name === lesson);
  const chosen = lessons[index];
  if (chosen !== undefined) return <Lesson key={chosen.name} lesson={chosen} next={lessons[index + 1]} />;
  return (
    <main class="page" id="main">
      <h1>Tour</h1>
      <p class="lead">
        What sockets do, one call at a time. Each lesson runs on real sockets in the watched process: states, queues and
        packets on these pages were observed while you clicked.
      </p>
      {lesson !== null && <Empty title="There is no such lesson" />}
      <ol class="lessons">
        {lessons.map(({ name, title, about, steps }) => (
          <li key={name}>
            <a class="lesson-card" href={`#/tour/${encodeURIComponent(name)}`}>
              <h2>{title}</h2>
              <p>{about}</p>
              <p class="faint">{plural(steps, "step")}</p>
            </a>
          </li>
        ))}
      </ol>
    </main>
  );
}

function Lesson({
  lesson,
  next,
}: {
  readonly lesson: LessonSummary;
  readonly next: LessonSummary | undefined;
}): JSX.Element {
  const [run, setRun] = useState<LessonRun | null>(null);
  const [busy, setBusy] = useState<"" | "next" | "all">("");
  const [error, setError] = useState("");
  const id = useRef<string | null>(null);
  const stopped = useRef(false);
  const working = useRef(false);
  const latest = useRef<HTMLHeadingElement>(null);
  const steps = run?.steps ?? [];
  const done = run?.done ?? false;

  useEffect(() => {
    const leave = (): void => {
      if (id.current !== null) endRun(id.current);
      id.current = null;
    };
    addEventListener("pagehide", leave);
    return () => {
      stopped.current = true;
      removeEventListener("pagehide", leave);
      leave();
    };
  }, []);
  // Scrolls to the latest step.
  useEffect(() => {
    if (steps.length > 0) latest.current?.scrollIntoView({ block: "start" });
  }, [steps.length]);

  const step = async (): Promise<LessonRun> => {
    if (id.current === null) {
      const started = await request<LessonRun>("POST", `api/lessons/${encodeURIComponent(lesson.name)}`);
      id.current = started.id;
      if (started.steps.length > 0) return started;
    }
    return request<LessonRun>("POST", `api/runs/${encodeURIComponent(id.current)}/next`);
  };
  const go = async (kind: "next" | "all"): Promise<void> => {
    if (working.current) return;
    working.current = true;
    setBusy(kind);
    setError("");
    try {
      let now: LessonRun;
      // Each step depends on the previous one.
      do {
        now = await step();
        if (stopped.current) return;
        setRun(now);
      } while (continues(kind, now));
    } catch (reason) {
      setError(messageOf(reason));
    }
    working.current = false;
    setBusy("");
  };
  const startOver = (): void => {
    if (working.current) return;
    if (id.current !== null) endRun(id.current);
    id.current = null;
    setRun(null);
    setError("");
  };

  const titles = run?.titles ?? [];
  const total = titles.length || lesson.steps;
  return (
    <main class="page lesson" id="main">
      <p class="back">
        <a href="#/tour">← All lessons</a>
      </p>
      <h1>{lesson.title}</h1>
      <p class="lead">{lesson.about}</p>
      {steps.length === 0 && busy === "" && error === "" && (
        <p class="faint">Nothing has run yet. “Next step” runs the first line of code.</p>
      )}
      <ol class="steps">
        {steps.map((one, index) => (
          <Step
            key={index}
            number={index + 1}
            step={one}
            heading={index === steps.length - 1 ? latest : null}
            ends={endsOf(steps)}
          />
        ))}
        {titles.slice(steps.length).map((title, index) => (
          <li key={`to come ${index}`} class="step to-come">
            <span class="step-number">{steps.length + index + 1}</span>
            {title}
          </li>
        ))}
      </ol>
      {error !== "" && (
        <Notice tone="bad" title="The lesson stopped.">
          {error}
        </Notice>
      )}
      <div class="lesson-bar">
        {done ? (
          <>
            <button type="button" class="primary" onClick={startOver}>
              Start over
            </button>
            {next !== undefined && (
              <a class="button" href={`#/tour/${encodeURIComponent(next.name)}`}>
                Next lesson: {next.title}
              </a>
            )}
          </>
        ) : (
          <>
            <button type="button" class="primary" aria-disabled={busy !== ""} onClick={() => void go("next")}>
              Next step
            </button>
            <button type="button" aria-disabled={busy !== ""} onClick={() => void go("all")}>
              Run all
            </button>
            {(steps.length > 0 || error !== "") && (
              <button type="button" class="quiet" aria-disabled={busy !== ""} onClick={startOver}>
                Start over
              </button>
            )}
          </>
        )}
        <p class="progress" role="status">
          {busy !== "" && steps.length === 0 ? "Running" : `Step ${steps.length} of ${total}`}
          {done && ": done, all sockets are closed"}
        </p>
      </div>
    </main>
  );
}

/** The addresses of the two lanes, and the names of all sockets by address. The first sender is on the left. */
interface Ends {
  readonly left: string;
  readonly right: string;
  readonly names: ReadonlyMap<string, string>;
}

function endsOf(steps: readonly LessonStep[]): Ends {
  const names = new Map<string, string>();
  for (const { before, after } of steps) {
    for (const { name, local } of [...before, ...after]) {
      if (local === null) continue;
      const known = names.get(local);
      if (known === undefined) names.set(local, name);
      else if (!known.split(", ").includes(name)) names.set(local, `${known}, ${name}`);
    }
  }
  const first = steps.flatMap(({ packets }) => packets)[0];
  return { left: first?.from ?? "", right: first?.to ?? "", names };
}

function Step(props: {
  readonly number: number;
  readonly step: LessonStep;
  readonly heading: { current: HTMLHeadingElement | null } | null;
  readonly ends: Ends;
}): JSX.Element {
  const { number, step, heading, ends } = props;
  return (
    <li class="step done">
      <h2 ref={heading}>
        <span class="step-number">{number}</span>
        {step.title}
      </h2>
      <div class="step-body">
        <p class="step-text">{step.text}</p>
        <div class="code-box">
          <pre tabIndex={0} role="group" aria-label="Line of code">
            <code>{step.code}</code>
          </pre>
          <p class="returned">
            <span class="faint">returned</span> <output>{visible(step.result)}</output>
          </p>
        </div>
        <Kernel before={step.before} after={step.after} />
        <Packets step={step} ends={ends} />
      </div>
    </li>
  );
}

interface ShownField {
  readonly title: string;
  readonly text: (socket: LessonSocket) => string;
}

const queueText = (value: number | null): string => (value === null ? "–" : value === 0 ? "0" : bytes(value));

const FIELDS: readonly ShownField[] = [
  { title: "local", text: ({ local }) => visible(local ?? "–") },
  { title: "peer", text: ({ peer }) => visible(peer ?? "–") },
  { title: "recv-q", text: ({ receiveQueue }) => queueText(receiveQueue) },
  { title: "send-q", text: ({ sendQueue }) => queueText(sendQueue) },
  { title: "accept-q", text: ({ acceptQueue: queue }) => (queue === null ? "–" : `${queue.length} of ${queue.limit}`) },
];

function Kernel({ before, after }: { before: readonly LessonSocket[]; after: readonly LessonSocket[] }): JSX.Element {
  const names = [...new Set([...before, ...after].map(({ name }) => name))];
  if (names.length === 0) return <p class="faint">No socket exists after this step.</p>;
  const change = (was: string | undefined, now: string | undefined): ComponentChildren => {
    if (was === now || was === undefined || was === "–") return now ?? was ?? "–";
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
            const fields = now ?? was!;
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
                {FIELDS.map(({ title, text }) => (
                  <td
                    key={title}
                    class={was !== undefined && now !== undefined && text(was) !== text(now) ? "changed" : ""}
                  >
                    {now === undefined ? text(fields) : change(was && text(was), text(now))}
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

const packetKind = ({ flags, bytes: size }: LessonPacket): "data" | "control" | "error" =>
  flags.includes("RST") || flags.includes("ICMP") ? "error" : size > 0 ? "data" : "control";

function packetLabel({ flags, bytes: size }: LessonPacket): string {
  return size > 0 ? `${flags}, ${bytes(size)}` : flags;
}

function Packets({ step, ends }: { readonly step: LessonStep; readonly ends: Ends }): JSX.Element {
  const { packets, packetSource } = step;
  if (packetSource === "none") return <p class="faint packets-note">Packets were not observed in this step.</p>;
  if (packets.length === 0) return <p class="faint packets-note">No packet crossed the wire.</p>;
  const head = (address: string, side: string): JSX.Element => (
    <div class={`lane-head ${side}`}>
      <b>{ends.names.get(address) ?? "another socket"}</b>
      <span>{visible(address)}</span>
    </div>
  );
  return (
    <div class="packets">
      <p class="packets-title">
        {packetSource === "capture"
          ? "Packets on the wire, captured on the loopback interface"
          : "Segments, as counted by the kernel (TCP_INFO); a capture takes CAP_NET_RAW"}
      </p>
      <div class="lanes">
        {head(ends.left, "left")}
        {head(ends.right, "right")}
      </div>
      <ol aria-label="Packets">
        {packets.map((packet, index) => (
          <li key={index} class="packet" data-flags={packet.flags}>
            <ArrowLine
              arrow={{
                from: packet.from === ends.right ? "right" : "left",
                label: packetLabel(packet),
                kind: packetKind(packet),
              }}
            />
          </li>
        ))}
      </ol>
      {step.morePackets !== undefined && step.morePackets > 0 && (
        <p class="faint">and {plural(step.morePackets, "packet")} more</p>
      )}
    </div>
  );
}
