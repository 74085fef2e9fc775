// The program of a node of the chat. See README.md.

import { parseArgs } from "node:util";
import { ChatNode } from "./node.js";

const { values } = parseArgs({
  options: {
    name: { type: "string", default: "chat" },
    listen: { type: "string", default: "tcp://127.0.0.1:8888" },
    websocket: { type: "string" },
    health: { type: "string" },
    nats: { type: "string" },
    proxy: { type: "string", multiple: true },
    "drain-delay": { type: "string", default: "1000" },
    "drain-timeout": { type: "string", default: "10000" },
  },
});

const log = (event: object): void => console.log(JSON.stringify({ node: values.name, ...event }));
const node = await ChatNode.start({
  name: values.name,
  lines: values.listen,
  webSocket: values.websocket,
  health: values.health,
  nats: values.nats,
  proxies: values.proxy,
  log,
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  let again = false;
  process.on(signal, () => {
    // A second signal ends the node at once.
    if (again) process.exit(1);
    again = true;
    const [delay, timeout] = [Number(values["drain-delay"]), Number(values["drain-timeout"])];
    void node.drain({ delay, timeout });
  });
}
log({
  event: "listening",
  lines: String(node.address),
  webSocket: node.webSocketAddress && String(node.webSocketAddress),
  health: node.healthAddress && String(node.healthAddress),
});
