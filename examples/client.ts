// A client of server.ts: socket, connect, send, recv, close.
//
//   node out/examples/client.js [port] [host]
import { AF_INET, AF_INET6, Socket, SOCK_STREAM } from "berkeley";

const port = Number(process.argv[2] ?? 8888);
const host = process.argv[3] ?? "127.0.0.1";

await using client = new Socket(host.includes(":") ? AF_INET6 : AF_INET, SOCK_STREAM);
client.timeout = 5_000; // for each of the calls below
await client.connect([host, port]);
await client.sendAll("Hello, Server");

const answer = await client.recv(1024);
console.log(`received ${JSON.stringify(answer.toString())}`);
