// Functions that the tests of serveWorkers() share.

import { connect, type EndpointLike, type Stream } from "berkeley";
import { serveWorkers, type ServeWorkersOptions, type WorkerEvent, type WorkerServer } from "berkeley/server";

export const handlerModule: URL = new URL("./workerHandler.js", import.meta.url);

/** A server with workers, and the events of its workers. */
export async function started(
  opts: ServeWorkersOptions = {},
  endpoint: EndpointLike = "tcp://127.0.0.1:0",
): Promise<{ server: WorkerServer; events: WorkerEvent[] }> {
  const events: WorkerEvent[] = [];
  const onWorker = (event: WorkerEvent): void => void events.push(event);
  const server = await serveWorkers(endpoint, handlerModule, { onWorker, minRestartDelay: 1, ...opts });
  return { server, events };
}

export const connectTo = (server: WorkerServer, localAddress?: string): Promise<Stream> =>
  connect(server.address as EndpointLike, localAddress === undefined ? {} : { localAddress: [localAddress, 0] });

/** Sends a line and returns the answer; null if the connection ends without one. */
export async function ask(stream: Stream, line: string): Promise<string | null> {
  await stream.write(`${line}\n`);
  return stream.readLine();
}

/** The code of the error with which a connection ended, or "end". */
export async function endOf(stream: Stream): Promise<string> {
  try {
    for await (const _ of stream);
    return "end";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** The ends of workers that no order of the server has caused. */
export function crashes(events: readonly WorkerEvent[]): (WorkerEvent & { state: "ended" })[] {
  return events.filter((event) => event.state === "ended").filter(({ restartIn }) => restartIn !== undefined);
}
