// The error of a worker that has ended by itself, or that the server has ended because it did not answer.

import { BerkeleyError } from "../errors/index.js";
import { mark } from "../errors/mark.js";

/**
 * A worker of `serveWorkers()` has ended by itself (`ERR_WORKER_ENDED`), or it did not answer for
 * `responseTimeout` and was ended (`ERR_WORKER_SILENT`). While the server listens, another worker takes its place.
 */
export class WorkerError extends BerkeleyError {
  override readonly code: "ERR_WORKER_ENDED" | "ERR_WORKER_SILENT";
  /** The number of the worker, from 1 on. */
  readonly worker: number;

  /** @param thrown the value that the worker has thrown, if it is no `Error`; it becomes the cause */
  constructor(code: WorkerError["code"], worker: number, reason: string, thrown?: unknown) {
    super(`worker ${worker} ${reason}`, thrown === undefined ? undefined : { cause: thrown });
    this.code = code;
    this.worker = worker;
  }

  static {
    WorkerError.prototype.name = "WorkerError";
    mark(WorkerError);
  }
}
