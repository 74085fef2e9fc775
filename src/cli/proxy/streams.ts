// A proxy of streams. The kernel moves the bytes (forward()). With --record, --latency, --rate, --proxy-protocol,
// --via, --count or TLS, the bytes pass through this program instead.

import { type Address, connect, forward, Inet6Address, InetAddress, listen, SocketError, type Stream } from "berkeley";
import type { TcpFlow } from "berkeley/pcapng";

import { Failure } from "../frame/failure.js";
import { formatTime } from "../frame/units.js";
import { announce, clientNameOf } from "../servers/serve.js";
import { IdleTimer } from "../talk/idleTimer.js";
import { withUsageErrors } from "../talk/open.js";
import type { Flow, ProxyPlan } from "./plan.js";
import { copyShaped } from "./shape.js";

export async function proxyStreams(plan: ProxyPlan): Promise<void> {
  const { from, to, recorder, latency, rate, proxyProtocol, via, count } = plan;
  const handlesBytes = recorder !== undefined || latency > 0 || rate !== undefined || proxyProtocol;
  const usesTls = from.scheme === "tls" || to.scheme === "tls";
  // forward() can't connect through a proxy (--via), and can't end after a number of connections (--count).
  const canForward = !handlesBytes && !usesTls && via === undefined && count === undefined;
  await (canForward ? forwardAll(plan) : relayAll(plan));
}

/** Forwards all connections with forward(), inside the kernel. */
async function forwardAll(plan: ProxyPlan): Promise<void> {
  const { from, to, output, flowCounts, signal, draining, idle, max, timeout } = plan;
  const forwarder = await withUsageErrors(() =>
    forward(from, to, {
      signal,
      maxConnections: max,
      connectTimeout: timeout,
      idleTimeout: idle ?? null,
      onEnd({ client, toTarget, toClient, duration, error }) {
        const isUnnamed = "path" in client && client.path === "";
        const name = isUnnamed ? `client ${flowCounts.begun + 1}` : String(client);
        const flow = flowCounts.begin(name, performance.now() - duration);
        flowCounts.end({ ...flow, toTarget, toClient }, signal.aborted ? undefined : error);
      },
    }),
  );
  announce(output, from.scheme, forwarder.address);
  draining.addEventListener("abort", () => void forwarder.close(), { once: true });
  await forwarder.closed;
}

/** Forwards all connections through memory of this program. */
async function relayAll(plan: ProxyPlan): Promise<void> {
  const { from, output, serverTls, signal, draining, flowCounts, max, count } = plan;
  const onHandshakeError = (error: unknown, address?: Address): void =>
    output.problem(error, String(address ?? "handshake"));
  const listener = await withUsageErrors(() =>
    listen(from, serverTls === undefined ? {} : { tls: { ...serverTls, onHandshakeError } }),
  );
  announce(output, from.scheme, listener.address);
  const close = (): void => void listener.close();
  signal.addEventListener("abort", close, { once: true });
  draining.addEventListener("abort", close, { once: true });
  const running = new Set<Promise<void>>();
  try {
    while (!signal.aborted && !draining.aborted && flowCounts.begun !== count) {
      while (running.size >= max) await Promise.race(running);
      const client = await listener.accept();
      const task: Promise<void> = relayOne(plan, client).finally(() => running.delete(task));
      running.add(task);
    }
  } catch (error) {
    if (!signal.aborted && !draining.aborted) throw error;
  }
  await listener.close();
  await Promise.all(running);
}

async function relayOne(plan: ProxyPlan, client: Stream): Promise<void> {
  const { flowCounts, recorder, target, signal } = plan;
  const flow = flowCounts.begin(clientNameOf(client, flowCounts.begun + 1));
  const ending = new AbortController();
  const onAbort = (): void => ending.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const capturedFlow = recorder?.startTcp(client.remoteAddress, client.localAddress, `${flow.client} -> ${target}`);
  let error: unknown;
  let server: Stream | undefined;
  try {
    server = await connectTo(plan, ending.signal);
    if (plan.proxyProtocol) {
      const header = proxyHeader(client.remoteAddress, client.localAddress);
      await server.write(header, { signal: ending.signal, timeout: plan.timeout });
    }
    await copyBoth(plan, flow, client, server, capturedFlow, ending);
    await Promise.all([client.close(), server.close()]);
  } catch (caught) {
    // After Ctrl-C, the error is only its consequence.
    error = signal.aborted ? undefined : caught;
    // After ECONNRESET the capture has a reset by the client, and after any other error one by the proxy.
    capturedFlow?.reset(caught instanceof SocketError && caught.code === "ECONNRESET" ? "client" : "server");
    client.abort();
    server?.abort();
  }
  signal.removeEventListener("abort", onAbort);
  flowCounts.end(flow, error);
}

function connectTo({ to, timeout, via, clientTls }: ProxyPlan, signal: AbortSignal): Promise<Stream> {
  return connect(to, {
    signal,
    timeout,
    ...(via === undefined ? {} : { via }),
    ...(clientTls === undefined ? {} : { tls: clientTls }),
  });
}

/**
 * Copies both directions. An error of one direction ends the other direction. With --idle, so does a time in which
 * neither direction moves data, longer by the delay of --latency.
 */
async function copyBoth(
  plan: ProxyPlan,
  flow: Flow,
  client: Stream,
  server: Stream,
  capturedFlow: TcpFlow | undefined,
  ending: AbortController,
): Promise<void> {
  const { latency, rate, idle } = plan;
  const { signal } = ending;
  const onIdle = (): void => ending.abort(new Failure(`no data was moved for ${formatTime(idle ?? 0)}`));
  const idleTimer = new IdleTimer(idle === undefined ? undefined : idle + latency, { onIdle, onLingered: onIdle });
  const fail = (error: unknown): never => {
    ending.abort(error);
    throw error;
  };
  const copy = (from: Stream, to: Stream, side: "client" | "server", counter: "toTarget" | "toClient"): Promise<void> =>
    copyShaped(from, to, {
      latency,
      rate,
      signal,
      onData(data) {
        idleTimer.restart();
        capturedFlow?.data(side, data);
      },
      onWritten(count) {
        idleTimer.restart();
        flow[counter] += count;
      },
    }).then(() => capturedFlow?.finish(side), fail);
  const results = await Promise.allSettled([
    copy(client, server, "client", "toTarget"),
    copy(server, client, "server", "toClient"),
  ]);
  idleTimer.end();
  // The abort reason is the first error. The error of the other direction is only its consequence.
  if (results.some(({ status }) => status === "rejected")) throw signal.reason;
}

/** The header of the PROXY protocol, version 1: the address of the client, and the address to which it connected. */
export function proxyHeader(client: Address | undefined, proxy: Address | undefined): string {
  for (const [family, addressClass] of [
    ["TCP4", InetAddress],
    ["TCP6", Inet6Address],
  ] as const) {
    if (client instanceof addressClass && proxy instanceof addressClass) {
      return `PROXY ${family} ${client.host} ${proxy.host} ${client.port} ${proxy.port}\r\n`;
    }
  }
  return "PROXY UNKNOWN\r\n";
}
