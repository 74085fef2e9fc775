// The tour: lessons on real sockets, in steps. The process runs each step, and reports states, queues and packets.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import type { LessonPacket, LessonRun, LessonStep, LessonSummary } from "../src/inspect/protocol.js";
import { byteCountText, plural, visible } from "./format.js";
import { KernelTable } from "./kernelTable.js";
import { Empty, Notice } from "./parts.js";
import { ArrowLine } from "./sequence.js";

/** Sends a request to the process. Throws an error whose message is for the user. */
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
  return (await response.json()) as T;
}

/** Ends a run. `keepalive` lets the request complete after the page was left. */
const endRun = (id: string): void => {
  void fetch(`api/runs/${encodeURIComponent(id)}`, { method: "DELETE", keepalive: true }).catch(() => undefined);
};

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
  if (chosen !== undefined) return <Lesson key={chosen.name} lesson={chosen} nextLesson={lessons[index + 1]} />;
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
  nextLesson,
}: {
  readonly lesson: LessonSummary;
  readonly nextLesson: LessonSummary | undefined;
}): JSX.Element {
  const [run, setRun] = useState<LessonRun | null>(null);
  // Whether the page shows that steps run.
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const runId = useRef<string | null>(null);
  // Whether the user has left the lesson.
  const hasLeft = useRef(false);
  // Whether steps run. Unlike `isBusy`, it changes at once, so a second click has no effect.
  const isWorking = useRef(false);
  const latestHeading = useRef<HTMLHeadingElement>(null);
  const steps = run?.steps ?? [];
  const isDone = run?.done ?? false;
  const endCurrentRun = (): void => {
    if (runId.current !== null) endRun(runId.current);
    runId.current = null;
  };

  useEffect(() => {
    addEventListener("pagehide", endCurrentRun);
    return () => {
      hasLeft.current = true;
      removeEventListener("pagehide", endCurrentRun);
      endCurrentRun();
    };
  }, []);
  // Scrolls to the latest step.
  useEffect(() => {
    if (steps.length > 0) latestHeading.current?.scrollIntoView({ block: "start" });
  }, [steps.length]);

  /** Runs one step, and before the first step starts the run. */
  const runStep = async (): Promise<LessonRun> => {
    if (runId.current === null) {
      const newRun = await request<LessonRun>("POST", `api/lessons/${encodeURIComponent(lesson.name)}`);
      runId.current = newRun.id;
    }
    return request<LessonRun>("POST", `api/runs/${encodeURIComponent(runId.current)}/next`);
  };
  /** Runs at most `max` steps. */
  const runSteps = async (max: number): Promise<void> => {
    if (isWorking.current) return;
    isWorking.current = true;
    setBusy(true);
    setError("");
    try {
      for (let count = 0; count < max; count++) {
        const latestRun = await runStep();
        if (hasLeft.current) return;
        setRun(latestRun);
        if (latestRun.done) break;
      }
    } catch (reason) {
      setError(messageOf(reason));
    }
    isWorking.current = false;
    setBusy(false);
  };
  const startOver = (): void => {
    if (isWorking.current) return;
    endCurrentRun();
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
      {steps.length === 0 && !isBusy && error === "" && (
        <p class="faint">Nothing has run yet. “Next step” runs the first line of code.</p>
      )}
      <ol class="steps">
        {steps.map((step, index) => (
          <Step
            key={index}
            number={index + 1}
            step={step}
            heading={index === steps.length - 1 ? latestHeading : null}
            lanes={lanesOf(steps)}
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
        {isDone ? (
          <>
            <button type="button" class="primary" onClick={startOver}>
              Start over
            </button>
            {nextLesson !== undefined && (
              <a class="button" href={`#/tour/${encodeURIComponent(nextLesson.name)}`}>
                Next lesson: {nextLesson.title}
              </a>
            )}
          </>
        ) : (
          <>
            <button type="button" class="primary" aria-disabled={isBusy} onClick={() => void runSteps(1)}>
              Next step
            </button>
            <button type="button" aria-disabled={isBusy} onClick={() => void runSteps(Infinity)}>
              Run all
            </button>
            {(steps.length > 0 || error !== "") && (
              <button type="button" class="quiet" aria-disabled={isBusy} onClick={startOver}>
                Start over
              </button>
            )}
          </>
        )}
        <p class="progress" role="status">
          {isBusy && steps.length === 0 ? "Running" : `Step ${steps.length} of ${total}`}
          {isDone && ": done, all sockets are closed"}
        </p>
      </div>
    </main>
  );
}

/** The two lanes of the packets of a lesson. */
interface Lanes {
  /** The address of the left lane: the sender of the first packet. */
  readonly left: string;
  /** The address of the right lane: the receiver of the first packet. */
  readonly right: string;
  /** The names of the sockets, by address. */
  readonly names: ReadonlyMap<string, string>;
}

function lanesOf(steps: readonly LessonStep[]): Lanes {
  const names = new Map<string, string>();
  for (const { before, after } of steps) {
    for (const { name, local } of [...before, ...after]) {
      if (local === null) continue;
      const known = names.get(local);
      if (known === undefined) names.set(local, name);
      else if (!known.split(", ").includes(name)) names.set(local, `${known}, ${name}`);
    }
  }
  const firstPacket = steps.flatMap(({ packets }) => packets)[0];
  return { left: firstPacket?.from ?? "", right: firstPacket?.to ?? "", names };
}

function Step(props: {
  readonly number: number;
  readonly step: LessonStep;
  readonly heading: { current: HTMLHeadingElement | null } | null;
  readonly lanes: Lanes;
}): JSX.Element {
  const { number, step, heading, lanes } = props;
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
        <KernelTable before={step.before} after={step.after} />
        <Packets step={step} lanes={lanes} />
      </div>
    </li>
  );
}

function packetKind({ flags, bytes: size }: LessonPacket): "data" | "control" | "error" {
  if (flags.includes("RST") || flags.includes("ICMP")) return "error";
  return size > 0 ? "data" : "control";
}

function packetLabel({ flags, bytes: size }: LessonPacket): string {
  return size > 0 ? `${flags}, ${byteCountText(size)}` : flags;
}

function Packets({ step, lanes }: { readonly step: LessonStep; readonly lanes: Lanes }): JSX.Element {
  const { packets, packetSource } = step;
  if (packetSource === "none") return <p class="faint packets-note">Packets were not observed in this step.</p>;
  if (packets.length === 0) return <p class="faint packets-note">No packet crossed the wire.</p>;
  const laneHead = (address: string, side: "left" | "right"): JSX.Element => (
    <div class={`lane-head ${side}`}>
      <b>{lanes.names.get(address) ?? "another socket"}</b>
      <span>{visible(address)}</span>
    </div>
  );
  return (
    <div class="packets">
      <p class="packets-title">
        {packetSource === "capture"
          ? "Packets on the wire, captured on the loopback interface"
          : "Segments, as counted by the kernel (TCP_INFO); a capture requires CAP_NET_RAW"}
      </p>
      <div class="lanes">
        {laneHead(lanes.left, "left")}
        {laneHead(lanes.right, "right")}
      </div>
      <ol aria-label="Packets">
        {packets.map((packet, index) => (
          <li key={index} class="packet" data-flags={packet.flags}>
            <ArrowLine
              arrow={{
                from: packet.from === lanes.right ? "right" : "left",
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
