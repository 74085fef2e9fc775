// The seven steps of a server: socket, bind, listen, accept, recv, send, close. It serves one client and ends.
//
//   node out/examples/server.js [port]        and, in another terminal, client.js
import { AF_INET, SO_REUSEADDR, Socket, SOCK_STREAM } from "berkeley";

const port = Number(process.argv[2] ?? 8888);

await using server = new Socket(AF_INET, SOCK_STREAM);
server.setsockopt(SO_REUSEADDR, true); // the port can be used again right after a run
await server.bind(["127.0.0.1", port]);
server.listen(5);
console.log(`listening on ${server.getsockname()}`);

const [conn, address] = await server.accept();
console.log(`connected by ${address}`);

// TCP is a stream: a message may need several recv(). This example reads only the first part.
const message = await conn.recv(1024);
console.log(`received ${JSON.stringify(message.toString())}`);

await conn.sendAll("Welcome to my server");
conn.close();
