// What a lesson is made of.

import type { Scene } from "./scene.js";

/** A step: a line of code, and the function that does the same. */
export interface StepPlan {
  readonly title: string;
  /** The code of the step, as a program would have it. Read after the step, so it can have a port that the kernel chose. */
  readonly code: () => string;
  /** Runs the step, and returns its result as text. */
  readonly run: () => Promise<string> | string;
  /** What the kernel did. */
  readonly text: string;
}

export interface LessonPlan {
  /** The name in URLs. */
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** The steps on the sockets of a scene. Nothing happens before the first `run`. */
  readonly plan: (scene: Scene) => readonly StepPlan[];
}

export const descriptorOf = (socket: { fileno(): number }): string => `descriptor ${socket.fileno()}`;

export const bytesText = (count: number): string =>
  `${count.toLocaleString("en-US")} ${count === 1 ? "byte" : "bytes"}`;

/** Received bytes as a literal of JavaScript. */
export const quoted = (bytes: Uint8Array): string =>
  bytes.length === 0 ? "0 bytes: the peer has finished" : JSON.stringify(Buffer.from(bytes).toString("latin1"));
