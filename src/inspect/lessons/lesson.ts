// The types that a lesson consists of, and texts that several lessons use.

import type { Scene } from "./scene.js";

/** A step: the code that the page shows, and the function that runs it. */
export interface StepPlan {
  readonly title: string;
  /** Returns the code to show. Called after the step, so the code can have a port that the kernel chose. */
  readonly code: () => string;
  /** Runs the step, and returns its result as text. */
  readonly run: () => Promise<string> | string;
  /** An explanation of the kernel's work. */
  readonly text: string;
}

export interface LessonPlan {
  /** The name in URLs. */
  readonly name: string;
  readonly title: string;
  /** The subject, in one or two sentences. */
  readonly about: string;
  /** Makes the steps. They add their sockets to `scene`. No socket is made before the first `run`. */
  readonly plan: (scene: Scene) => readonly StepPlan[];
}

export const descriptorText = (socket: { fileno(): number }): string => `descriptor ${socket.fileno()}`;

export const bytesText = (count: number): string =>
  `${count.toLocaleString("en-US")} ${count === 1 ? "byte" : "bytes"}`;

/** Received bytes as a literal of JavaScript; for none, the meaning of 0 bytes. */
export const quoted = (bytes: Uint8Array): string =>
  bytes.length === 0 ? "0 bytes: the peer has finished" : JSON.stringify(Buffer.from(bytes).toString("latin1"));
