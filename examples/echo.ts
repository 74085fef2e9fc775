// A server that sends all bytes back, to many clients at once, until Ctrl-C.
//
//   node out/examples/echo.js [port]
import { AF_INET, SO_REUSEADDR, Socket, SocketError, SOCK_STREAM } from "berkeley";

/** A client that sends nothing for this time (ms) is disconnected. */
const IDLE_TIMEOUT = 60_000;
const MAX_CLIENTS = 1_000;

async function echo(conn: Socket): Promise<void> {
  try {
    conn.timeout = IDLE_TIMEOUT;
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const count = await conn.recvInto(buffer);
      if (count === 0) return; // the client has finished
      // Resolves when the kernel has taken all bytes. So the server does not read from a client that does not read.
      await conn.sendAll(buffer.subarray(0, count));
    }
  } catch (error) {
    // A client that reset the connection, or sent nothing for too long, ends only its own connection.
    if (!(error instanceof SocketError)) throw error;
    console.log(`ended: ${error.message}`);
  } finally {
    conn.close();
    clients.delete(conn);
  }
}

const clients = new Map<Socket, Promise<void>>();

await using server = new Socket(AF_INET, SOCK_STREAM);
server.setsockopt(SO_REUSEADDR, true);
await server.bind(["127.0.0.1", Number(process.argv[2] ?? 8888)]);
server.listen();
console.log(`listening on ${server.getsockname()}`);

process.once("SIGINT", () => {
  server.close(); // ends the loop below
  for (const conn of clients.keys()) conn.close();
});

for await (const [conn, address] of server) {
  console.log(`connected by ${address}`);
  clients.set(conn, echo(conn));
  // Further connections wait in the kernel's accept queue.
  if (clients.size >= MAX_CLIENTS) await Promise.race(clients.values());
}
await Promise.all(clients.values());
