// A TCP echo server on Bun.listen(). When write() accepts only a part of the bytes, this server keeps the rest. Bun
// calls drain() when the socket accepts more.
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
// For measurements of memory: runs a garbage collection for each line on standard input.
if (process.argv.includes("collect")) {
  process.stdin.on("data", () => {
    Bun.gc(true);
    console.log('{"collected":true}');
  });
}
