// A TCP echo server on Deno.listen().
async function echo(connection) {
  const buffer = new Uint8Array(1024);
  try {
    for (;;) {
      const count = await connection.read(buffer);
      if (count === null) break;
      for (let sent = 0; sent < count;) sent += await connection.write(buffer.subarray(sent, count));
    }
  } catch {
    // The load generator closes with messages in flight.
  } finally {
    connection.close();
  }
}

async function collectOnInput() {
  const line = new Uint8Array(64);
  while ((await Deno.stdin.read(line)) !== null) {
    globalThis.gc();
    console.log('{"collected":true}');
  }
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
console.log(JSON.stringify({ port: listener.addr.port }));
if (Deno.args.includes("collect")) void collectOnInput();
for await (const connection of listener) {
  connection.setNoDelay(true);
  void echo(connection);
}
