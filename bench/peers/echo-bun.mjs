// A TCP echo server on Bun.listen(). Bun keeps what a socket does not take and calls drain() when there is room again.
const server = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open(socket) {
      socket.data = undefined;
    },
    data(socket, data) {
      const held = socket.data;
      if (held !== undefined) {
        socket.data = Buffer.concat([held, data]);
        return;
      }
      const sent = socket.write(data);
      if (sent < data.length) socket.data = Buffer.from(data.subarray(Math.max(sent, 0)));
    },
    drain(socket) {
      const held = socket.data;
      if (held === undefined) return;
      const sent = socket.write(held);
      socket.data = sent < held.length ? held.subarray(Math.max(sent, 0)) : undefined;
    },
    end(socket) {
      socket.end();
    },
  },
});
console.log(JSON.stringify({ port: server.port }));
// For a measurement of memory: collects garbage when told to.
if (process.argv.includes("collect")) {
  process.stdin.on("data", () => {
    Bun.gc(true);
    console.log('{"collected":true}');
  });
}
