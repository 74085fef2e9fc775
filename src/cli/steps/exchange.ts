// The seven steps of a server (socket, bind, listen, accept, recv, send, close), with the client's calls between them.
// Each call uses a real socket, and is printed after it has returned.

import { AF_INET, AF_INET6, type Address, SO_REUSEADDR, Socket, SOCK_STREAM, SocketError } from "berkeley";

import { quoteBytes } from "../frame/escape.js";
import { plural } from "../frame/units.js";
import { viewOf } from "./kernelView.js";
import type { Narrator } from "./narrator.js";

export const GREETING = "Hello, Server";
export const WELCOME = "Welcome to my server";

/** The timeout of each call of the steps, in ms. Between two sockets of one machine no call takes that long. */
const CALL_TIMEOUT = 10_000;
/** The argument of listen(2): maximum length of the accept queue. */
const BACKLOG = 5;
/** Maximum number of received bytes that are printed. */
const MAX_SHOWN = 64;
/** Maximum number of kept connections of other programs that connect before our client. */
const MAX_EARLY = 16;

export interface ExchangeResult {
  /** The listening socket, still open. */
  readonly server: Socket;
  /** Connections of other programs that were accepted before our client's. The caller must serve or close each. */
  readonly early: readonly (readonly [Socket, Address])[];
}

/** Runs the steps, and closes all sockets except the returned ones. If a step fails, closes all sockets. */
export async function exchange(narrator: Narrator, host: string, port: number): Promise<ExchangeResult> {
  const family = host.includes(":") ? AF_INET6 : AF_INET;
  const constructorText = `new Socket(${family === AF_INET6 ? "AF_INET6" : "AF_INET"}, SOCK_STREAM)`;
  const early: [Socket, Address][] = [];

  const server = await openServer(narrator, family, constructorText, host, port);
  let accepting: Promise<[Socket, Address]> | undefined;
  try {
    const address = server.getsockname();
    const serverPort = "port" in address ? address.port : 0;

    narrator.step(4, "accept", "take a connection from the accept queue, or wait for one");
    accepting = server.accept();
    // The promise is awaited below. If a step fails before that, closing the server rejects the promise. This rejection
    // must not be unhandled.
    accepting.catch(() => undefined);
    narrator.call("server", "const accepting = server.accept()", "a promise, which waits");

    await using client = new Socket(family, SOCK_STREAM);
    client.timeout = CALL_TIMEOUT;
    narrator.call("client", `const client = ${constructorText}`, `descriptor ${client.fileno()}`, [
      viewOf("client", client),
    ]);
    const destination = destinationOf(host);
    await client.connect([destination, serverPort]);
    narrator.call("client", `await client.connect(["${destination}", ${serverPort}])`, "nothing: it is connected", [
      viewOf("client", client),
    ]);

    let [accepted, peer] = await accepting;
    while (String(peer) !== String(client.getsockname())) {
      narrator.note(`another program connected first: ${peer}`);
      if (early.length < MAX_EARLY) early.push([accepted, peer]);
      else accepted.close();
      accepting = server.accept();
      [accepted, peer] = await accepting;
    }
    await using conn = accepted;
    conn.timeout = CALL_TIMEOUT;
    narrator.call("server", "const [conn, address] = await accepting", `[descriptor ${conn.fileno()}, ${peer}]`, [
      viewOf("conn", conn),
      viewOf("server", server),
    ]);

    narrator.step(5, "recv", "the client sends first; the bytes stay in the kernel until the server reads them");
    await client.sendAll(GREETING);
    // When the bytes have arrived, the printed state shows them in the receive queue.
    await conn.readable();
    narrator.call(
      "client",
      `await client.sendAll("${GREETING}")`,
      `nothing: all ${plural(GREETING.length, "byte")} taken`,
      [viewOf("client", client), viewOf("conn", conn)],
    );
    const received = await conn.recv(1024);
    narrator.call("server", "await conn.recv(1024)", quoteBytes(received, MAX_SHOWN), [viewOf("conn", conn)]);

    narrator.step(6, "send", "the server answers");
    await conn.sendAll(WELCOME);
    await client.readable();
    narrator.call(
      "server",
      `await conn.sendAll("${WELCOME}")`,
      `nothing: all ${plural(WELCOME.length, "byte")} taken`,
      [viewOf("conn", conn), viewOf("client", client)],
    );
    const answer = await client.recv(1024);
    narrator.call("client", "await client.recv(1024)", quoteBytes(answer, MAX_SHOWN), [viewOf("client", client)]);

    narrator.step(7, "close", "each side closes its socket; after that the peer reads 0 bytes");
    client.close();
    narrator.call("client", "client.close()", "nothing");
    const end = await conn.recv(1024);
    narrator.call("server", "await conn.recv(1024)", `${plural(end.length, "byte")}: the client has finished`, [
      viewOf("conn", conn),
    ]);
    conn.close();
    narrator.call("server", "conn.close()", "nothing", [viewOf("server", server)]);

    // After the steps, accept() waits for clients without a limit.
    server.timeout = null;
    return { server, early };
  } catch (error) {
    server.close();
    for (const [conn] of early) conn.close();
    // accept() may have resolved with a connection that the code above has not received.
    await accepting?.then(
      ([conn]) => conn.close(),
      () => undefined,
    );
    throw error;
  }
}

/** The host to which a client connects: the loopback address if the server listens on the wildcard address. */
export function destinationOf(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}

/** Runs the first three steps. If the port is in use, the kernel chooses another port. */
async function openServer(
  narrator: Narrator,
  family: number,
  constructorText: string,
  host: string,
  port: number,
): Promise<Socket> {
  narrator.step(1, "socket", "an endpoint in the kernel; the program holds a number for it, the descriptor");
  let server = makeServer(narrator, family, constructorText);
  try {
    narrator.step(2, "bind", "the endpoint gets an address, so that others can find it");
    if (!(await bind(narrator, server, host, port))) await bindElsewhere(narrator, server, host, port);
    narrator.step(3, "listen", `the kernel takes connections from now on, ${BACKLOG} may wait in its queue`);
    if (!listen(narrator, server)) {
      // With SO_REUSEADDR two sockets can bind to one port, but only one of them can listen.
      server.close();
      server = makeServer(narrator, family, constructorText);
      await bindElsewhere(narrator, server, host, port);
      // No other socket listens on a port that the kernel has chosen.
      listen(narrator, server);
    }
    return server;
  } catch (error) {
    server.close();
    throw error;
  }
}

/** Makes the server's socket with SO_REUSEADDR, and prints the calls. */
function makeServer(narrator: Narrator, family: number, constructorText: string): Socket {
  const server = new Socket(family, SOCK_STREAM);
  try {
    server.timeout = CALL_TIMEOUT;
    narrator.call("server", `const server = ${constructorText}`, `descriptor ${server.fileno()}`, [
      viewOf("server", server),
    ]);
    server.setsockopt(SO_REUSEADDR, true);
    narrator.call("server", "server.setsockopt(SO_REUSEADDR, true)", "nothing: a port may be used again");
    return server;
  } catch (error) {
    server.close();
    throw error;
  }
}

/** Binds to a port that the kernel chooses. */
async function bindElsewhere(narrator: Narrator, server: Socket, host: string, port: number): Promise<void> {
  narrator.note(`Port ${port} is taken: another program listens there. With port 0 the kernel chooses another.`);
  await bind(narrator, server, host, 0);
}

/** Binds, and prints the call. Returns false if the port is in use. */
async function bind(narrator: Narrator, server: Socket, host: string, port: number): Promise<boolean> {
  const code = `await server.bind(["${host}", ${port}])`;
  try {
    await server.bind([host, port]);
  } catch (error) {
    return reportFailure(narrator, code, error, port);
  }
  narrator.call("server", code, "nothing", [viewOf("server", server)]);
  return true;
}

/** Listens, and prints the call. Returns false if the port is in use. */
function listen(narrator: Narrator, server: Socket): boolean {
  const code = `server.listen(${BACKLOG})`;
  const address = server.getsockname();
  try {
    server.listen(BACKLOG);
  } catch (error) {
    return reportFailure(narrator, code, error, "port" in address ? address.port : 0);
  }
  narrator.call("server", code, "nothing", [viewOf("server", server)]);
  return true;
}

/** Prints a call that failed. Returns false if the port is in use, and throws every other error. */
function reportFailure(narrator: Narrator, code: string, error: unknown, port: number): false {
  if (!(error instanceof SocketError)) throw error;
  narrator.call("server", code, error.code, [], { failed: true });
  // With port 0, the error means that no port is free.
  const isPortInUse = error.code === "EADDRINUSE" && port !== 0;
  if (!isPortInUse) throw error;
  return false;
}
