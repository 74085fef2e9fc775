// Answers the requests for lessons. The first request loads the modules of the lessons.

import type { Answer, RouteHandler } from "../routes.js";
import type { LessonRuns } from "./lessonRuns.js";

/** The answer with this body; status 404 if the body is undefined, because the lesson or run does not exist. */
const answerOrNotFound = (body: unknown): Answer =>
  body === undefined ? { status: 404, body: { error: "There is no such lesson or run" } } : { status: 200, body };

export class LessonRoutes implements RouteHandler {
  #runs: LessonRuns | undefined;

  async handle(method: string, path: string): Promise<Answer | undefined> {
    const [, name] = /^\/api\/lessons(?:\/([^/]+))?$/.exec(path) ?? [];
    const [runPath, id, next] = /^\/api\/runs\/([^/]+)(\/next)?$/.exec(path) ?? [];
    if (name === undefined && runPath === undefined && path !== "/api/lessons") return undefined;
    const { lessonSummaries, LessonRuns } = await import("./lessonRuns.js");
    if (path === "/api/lessons" && method === "GET") return answerOrNotFound(lessonSummaries());
    const runs = (this.#runs ??= new LessonRuns());
    if (name !== undefined && method === "POST") return answerOrNotFound(runs.start(name));
    if (id !== undefined && next !== undefined && method === "POST") {
      try {
        return answerOrNotFound(await runs.next(id));
      } catch (error) {
        return { status: 500, body: { error: error instanceof Error ? error.message : String(error) } };
      }
    }
    if (id !== undefined && next === undefined && method === "DELETE") {
      return answerOrNotFound(runs.end(id) ? {} : undefined);
    }
    return { status: 405, body: { error: "The path has no such method" } };
  }

  close(): void {
    this.#runs?.close();
  }
}
