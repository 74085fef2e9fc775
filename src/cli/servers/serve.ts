// Runs a small server until Ctrl-C. It prints a line for each connection, and the totals.

import {
  type Address,
  bindUdp,
  type Conn,
  type Endpoint,
  type IoOptions,
  listen,
  type Listener,
  type Stream,
  type UdpSocket,
} from "berkeley";

import type { Invocation, OptionValues } from "../frame/command.js";
import { defaultScheme, readEndpoint, showEndpoint } from "../frame/endpoints.js";
import { escapeLine } from "../frame/escape.js";
import { explain, InterruptedError, UsageError } from "../frame/failure.js";
import type { Output } from "../frame/output.js";
import { serverTls } from "../frame/tlsOptions.js";
import { formatBytes, formatTime, plural } from "../frame/units.js";
import type { ServerOptions } from "./plan.js";

type ServerValues = OptionValues<ServerOptions>;

/** After the service has finished, the server waits at most this many ms until the client closes the connection. */
const END_TIMEOUT = 5000;

/** The functions that serve a connection and a datagram. */
export interface Service {
  /** Serves a connection. When the returned promise has resolved, serveOne() ends the connection. */
  serve(client: Client): Promise<void>;
  /** `maxOutbox` of the client's stream; see StreamOptions. */
  readonly maxOutbox?: number;
  /** Returns the answer to a datagram; undefined for no answer. Absent if the service does not support UDP. */
  readonly answer?: (data: Buffer) => Buffer | string | undefined;
}

/** The connection of a client, and the numbers of its received and sent bytes. */
export class Client {
  readonly stream: Stream;
  readonly name: string;
  readonly began: number = performance.now();
  received = 0;
  sent = 0;
  readonly #waitOptions: IoOptions;

  constructor(stream: Stream, name: string, idle: number | undefined) {
    this.stream = stream;
    this.name = name;
    this.#waitOptions = idle === undefined ? {} : { timeout: idle };
  }

  /**
   * Reads into the buffer. Resolves with the number of bytes, 0 at the end.
   *
   * @param opts default: `timeout` is the time of --idle
   */
  async read(buffer: Uint8Array, opts: IoOptions = this.#waitOptions): Promise<number> {
    const length = await this.stream.read(buffer, opts);
    this.received += length;
    return length;
  }

  /** Reads a line without its end; null at the end. */
  async readLine(max: number): Promise<string | null> {
    const line = await this.stream.readLine({ max, ...this.#waitOptions });
    // Counts one byte for the end of the line. So a CR LF is counted with one byte too few.
    if (line !== null) this.received += Buffer.byteLength(line) + 1;
    return line;
  }

  async write(data: Uint8Array): Promise<void> {
    await this.stream.write(data, this.#waitOptions);
    this.sent += data.length;
  }
}

interface Totals {
  /** Connections that have ended; with UDP, received datagrams. */
  connections: number;
  failed: number;
  received: number;
  sent: number;
}

/** Runs a service on the endpoint of the command line. Resolves with the exit status. */
export async function serve(invocation: Invocation<ServerOptions>, service: Service): Promise<number> {
  const { args, output, interrupts, options } = invocation;
  if (options.udp && options.tls) throw new UsageError("--udp and --tls are given together");
  const endpoint = readEndpoint(args[0] ?? "", { scheme: defaultScheme(options) });
  const ending = new AbortController();
  // The reason is not printed, because the end of a server is not an error.
  const stop = (): void => ending.abort(new InterruptedError("the end", 0));
  interrupts.onStop(stop);
  output.onOutputClosed(stop);
  const began = performance.now();
  const totals: Totals = { connections: 0, failed: 0, received: 0, sent: 0 };
  const serveAll = endpoint.scheme === "udp" ? serveDatagrams : serveStreams;
  await serveAll({ endpoint, options, output, service, signal: ending.signal, totals });
  const milliseconds = Math.round(performance.now() - began);
  output.result(
    { event: "total", ...totals, milliseconds },
    () =>
      `total: ${plural(totals.connections, endpoint.scheme === "udp" ? "datagram" : "connection")}, ` +
      `received ${formatBytes(totals.received)}, sent ${formatBytes(totals.sent)} in ${formatTime(milliseconds)}`,
  );
  return 0;
}

interface ServeContext {
  readonly endpoint: Endpoint;
  readonly options: ServerValues;
  readonly output: Output;
  readonly service: Service;
  readonly signal: AbortSignal;
  readonly totals: Totals;
}

async function serveStreams({ endpoint, options, output, service, signal, totals }: ServeContext): Promise<void> {
  const listenEndpoint: Endpoint = options.tls && endpoint.scheme === "tcp" ? { ...endpoint, scheme: "tls" } : endpoint;
  const tls = await serverTls(options, listenEndpoint.scheme === "tls", output);
  const onHandshakeError = (error: unknown, from?: Address): void => output.problem(error, String(from ?? "handshake"));
  const listener = await listen(listenEndpoint, {
    signal,
    maxOutbox: service.maxOutbox,
    ...(tls === undefined ? {} : { tls: { ...tls, onHandshakeError } }),
  });
  announce(output, listenEndpoint.scheme, listener.address);
  const running = new Map<Client, Promise<void>>();
  let count = 0;
  signal.addEventListener("abort", () => {
    for (const client of running.keys()) client.stream.abort();
  });
  for await (const stream of connectionsOf(listener, signal)) {
    const number = ++count;
    const client = new Client(stream, clientNameOf(stream, number), options.idle);
    output.detail(`connection from ${client.name}`, { event: "connected", number, peer: client.name });
    const task = serveOne(client, service, signal).then((error) => {
      running.delete(client);
      reportConnection(output, client, number, totals, error);
    });
    running.set(client, task);
    if (count === options.count) await listener.close();
    while (running.size >= options.max) await Promise.race(running.values());
  }
  await Promise.all(running.values());
}

/** The connections of a listener until it is closed. */
async function* connectionsOf(listener: Listener<Stream>, signal: AbortSignal): AsyncGenerator<Stream> {
  try {
    yield* listener;
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await listener.close();
  }
}

/** Serves a client. Resolves with the error of a failed connection, and otherwise with undefined. */
async function serveOne(client: Client, service: Service, signal: AbortSignal): Promise<unknown> {
  try {
    await service.serve(client);
    await client.stream.end({ timeout: END_TIMEOUT });
    return undefined;
  } catch (error) {
    client.stream.abort();
    return signal.aborted ? undefined : error;
  }
}

/** Adds a connection that has ended to the totals, and prints its line. */
function reportConnection(output: Output, client: Client, number: number, totals: Totals, error: unknown): void {
  const { name, received, sent, began } = client;
  const milliseconds = Math.round(performance.now() - began);
  totals.connections++;
  totals.received += received;
  totals.sent += sent;
  if (error !== undefined) totals.failed++;
  const failure = error === undefined ? undefined : explain(error);
  output.result(
    { event: "connection", number, peer: name, received, sent, milliseconds, error: failure },
    () =>
      `${name}  received ${formatBytes(received)}, sent ${formatBytes(sent)} in ${formatTime(milliseconds)}` +
      (failure === undefined ? "" : output.style("red", `  ${failure}`)),
  );
}

async function serveDatagrams({ endpoint, options, output, service, signal, totals }: ServeContext): Promise<void> {
  // Throws if an option of TLS is given, because datagrams have no TLS.
  const secure = false;
  await serverTls(options, secure, output);
  const { answer: answerTo } = service;
  if (answerTo === undefined)
    throw new UsageError(
      "this server does not support datagrams, required an endpoint of streams, such as tcp:// or unix:",
    );
  const socket = await bindUdp(endpoint, { signal });
  announce(output, "udp", socket.address);
  try {
    for await (const { data, address } of datagramsOf(socket, signal)) {
      totals.connections++;
      totals.received += data.length;
      const peer = String(address);
      const answer = answerTo(data);
      let error: unknown;
      try {
        if (answer !== undefined) await socket.send(answer, address, { signal });
      } catch (caught) {
        if (signal.aborted) break;
        error = caught;
        totals.failed++;
      }
      const sent = answer === undefined || error !== undefined ? 0 : Buffer.byteLength(answer);
      totals.sent += sent;
      if (error !== undefined) output.problem(error, peer);
      output.detail(`datagram from ${peer}: ${formatBytes(data.length)}`, {
        event: "datagram",
        peer,
        received: data.length,
        sent,
      });
      if (totals.connections === options.count) return;
    }
  } finally {
    await socket.close();
  }
}

/** The datagrams of a socket until the signal is aborted. */
async function* datagramsOf(
  socket: UdpSocket,
  signal: AbortSignal,
): AsyncGenerator<Awaited<ReturnType<UdpSocket["receive"]>>> {
  while (!signal.aborted) {
    try {
      yield await socket.receive();
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
  }
}

/** The scheme to print for a listener. Endpoints of `fd:` and `systemd:` have no address, so its socket decides. */
export function shownScheme(scheme: Endpoint["scheme"], address: object | undefined): Endpoint["scheme"] {
  if (address !== undefined && "path" in address) return "unix";
  if (address !== undefined && "cid" in address) return "vsock";
  return scheme === "fd" || scheme === "systemd" ? "tcp" : scheme;
}

/** Prints the address of the listener, with the port that the kernel chose for port 0. */
export function announce(output: Output, scheme: Endpoint["scheme"], address: object): void {
  const endpoint = showEndpoint(shownScheme(scheme, address), address);
  output.note(`listening on ${endpoint}`, { event: "listening", endpoint });
}

/** The name of a client in messages. Most clients of UNIX sockets have no address, so they get a number. */
export function clientNameOf({ remoteAddress }: Pick<Conn, "remoteAddress">, number: number): string {
  if (remoteAddress === undefined || ("path" in remoteAddress && remoteAddress.path === "")) return `client ${number}`;
  return escapeLine(String(remoteAddress));
}
