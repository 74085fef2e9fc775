// The interface of the request handlers that are not part of inspectServer.ts: those of the lessons.

import { LessonRoutes } from "./lessons/lessonRoutes.js";

/** The answer to a request: a status, and a value that is sent as JSON. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Answers requests that have passed the check of their Host, Origin and token. */
export interface RouteHandler {
  /** @returns undefined if the request is not one of this handler */
  handle(method: string, path: string): Promise<Answer | undefined>;
  /** Called when the inspector is closed. */
  close(): void;
}

/** Makes the handlers of an inspector. */
export function makeHandlers(): RouteHandler[] {
  return [new LessonRoutes()];
}
