// The port for the load balancer and for monitoring: /healthz, /readyz and /metrics.

import type { EndpointLike } from "berkeley";
import { HttpServer } from "../http.js";

export interface HealthSource {
  /** Whether the node wants new clients. */
  ready(): boolean;
  /** Counters by their names. */
  counters(): Record<string, number>;
}

export function startHealth(endpoint: EndpointLike, source: HealthSource): Promise<HttpServer> {
  return HttpServer.start(endpoint, (request, response) => {
    const answer = (status: number, text: string): void => {
      response.writeHead(status, { "content-type": "text/plain; charset=utf-8", connection: "close" }).end(text);
    };
    if (request.url === "/healthz") answer(200, "ok\n");
    else if (request.url === "/readyz") answer(source.ready() ? 200 : 503, source.ready() ? "ready\n" : "not ready\n");
    else if (request.url === "/metrics") {
      answer(
        200,
        Object.entries(source.counters())
          .map(([name, value]) => `chat_${name} ${value}\n`)
          .join(""),
      );
    } else answer(404, "not found\n");
  });
}
