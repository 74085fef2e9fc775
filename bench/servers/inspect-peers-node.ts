// The peers of inspect-watched-berkeley: connections that send nothing.

import { connect } from "node:net";

const port = Number(process.argv[2]);
const count = Number(process.argv[3]);
for (let made = 0; made < count; made++) {
  await new Promise<void>((resolve, reject) => {
    connect(port, "127.0.0.1", resolve).on("error", reject);
  });
}
console.log(JSON.stringify({ connected: count }));
process.stdin.resume();
