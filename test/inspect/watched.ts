// A program with an inspector: a server with fifty clients, one of which does not read. It prints the address of the
// page, and ends at the end of its standard input. After a line `talk` it makes one connection with the seven steps,
// and prints a line for each step. It waits for another line before it closes the connection.
import { createInterface } from "node:readline";
import { Socket, SO_RCVBUF, SO_SNDBUF } from "berkeley";
import { startInspector } from "berkeley/inspect";

const CLIENTS = 50;

const inspector = await startInspector({ payloads: true, stalledAfter: 500 });

async function listening(buffer?: number): Promise<Socket> {
  const socket = new Socket();
  if (buffer !== undefined) socket.setsockopt(SO_RCVBUF, buffer);
  await socket.bind(["127.0.0.1", 0]);
  socket.listen(128);
  return socket;
}

async function echo(connection: Socket): Promise<void> {
  for (;;) {
    const data = await connection.recv(4096);
    if (data.length === 0) return;
    await connection.sendAll(data);
  }
}

const server = await listening();
const clients: Socket[] = [];
for (let number = 0; number < CLIENTS; number++) {
  const client = new Socket();
  await client.connect(server.getsockname());
  const [connection] = await server.accept();
  clients.push(client);
  void echo(connection).catch(() => undefined);
}

/** Traffic of different sizes, so that the plots have something to show. */
const traffic = setInterval(() => {
  for (const [index, client] of clients.slice(0, 10).entries()) {
    const data = Buffer.alloc(200 * (index + 1) * (1 + (Date.now() % 7)), `line ${index}\n`);
    void client
      .sendAll(data)
      .then(() => client.recv(65_536))
      .catch(() => undefined);
  }
}, 100);

const slow = await listening(4096);
const sender = new Socket();
sender.setsockopt(SO_SNDBUF, 8192);
await sender.connect(slow.getsockname());
const [reader] = await slow.accept();
const stalled = sender.sendAll(Buffer.alloc(4 << 20)).catch(() => undefined);

/** The first half of a conversation, whose sockets stay open until the next line. */
async function* talk(): AsyncGenerator<string, void> {
  const listener = new Socket();
  await listener.bind(["127.0.0.1", 0]);
  listener.listen(5);
  const client = new Socket();
  await client.connect(listener.getsockname());
  const [connection] = await listener.accept();
  yield String(connection.getpeername());
  await client.sendAll("Hello, Server\r\n<script>document.title = 'hacked'</script>\u001b[2J");
  await connection.recv(1024);
  await connection.sendAll("Welcome to my server");
  await client.recv(1024);
  client.close();
  await connection.recv(1024);
  connection.close();
  listener.close();
  yield "closed";
}

process.stdout.write(`${inspector.url}\n`);
let talking: AsyncGenerator<string, void> | undefined;
for await (const _ of createInterface(process.stdin)) {
  talking ??= talk();
  const { value, done } = await talking.next();
  if (done === true) talking = undefined;
  else process.stdout.write(`${value}\n`);
}
clearInterval(traffic);
for (const socket of [server, slow, sender, reader, ...clients]) socket.close();
await stalled;
await inspector.close();
