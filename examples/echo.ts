// A server that sends back whatever comes, to many clients at once, until Ctrl-C.
//
//   node out/examples/echo.js [port]
import { AF_INET, SO_REUSEADDR, Socket, SocketError, SOCK_STREAM } from "berkeley";

/** A client that is silent for so long (ms) is disconnected. */
const PATIENCE = 60_000;
const MAX_CLIENTS = 1_000;

async function echo(conn: Socket): Promise<void> {
  try {
    conn.timeout = PATIENCE;
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const count = await conn.recvInto(buffer);
      if (count === 0) return; // the client has finished
      // Resolves when the kernel has taken everything: who does not read what we send is not read from either.
      await conn.sendAll(buffer.subarray(0, count));
    }
  } catch (error) {
    // A client that went away or was silent for too long ends its own connection and nothing else.
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
  // The kernel's queue holds the others meanwhile.
  if (clients.size >= MAX_CLIENTS) await Promise.race(clients.values());
}
await Promise.all(clients.values());
