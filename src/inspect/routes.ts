// Requests that other parts of the inspector answer: the lessons.

import { LessonRoutes } from "./lessons/lessonRoutes.js";

/** The answer to a request: a status, and a value that is sent as JSON. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Answers requests that have passed the check of their Host, Origin and token. */
export interface RouteHandler {
  /** @returns undefined if the path is not one of this handler */
  handle(method: string, path: string): Promise<Answer | undefined>;
  /** The inspector ends. */
  close(): void;
}

/** The handlers of an inspector that starts. */
export function makeHandlers(): RouteHandler[] {
  return [new LessonRoutes()];
}
