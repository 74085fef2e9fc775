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
    replicas: { type: "string", default: "1" },
    proxy: { type: "string", multiple: true },
    "drain-delay": { type: "string", default: "1000" },
    "drain-timeout": { type: "string", default: "10000" },
  },
});

function milliseconds(name: "drain-delay" | "drain-timeout"): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new RangeError(`--${name} is ${values[name]}, required milliseconds`);
}

const drain = { delay: milliseconds("drain-delay"), timeout: milliseconds("drain-timeout") };
const log = (event: object): void => console.log(JSON.stringify({ node: values.name, ...event }));
const node = await ChatNode.start({
  name: values.name,
  lines: values.listen,
  webSocket: values.websocket,
  health: values.health,
  nats: values.nats,
  replicas: Number(values.replicas),
  proxies: values.proxy,
  log,
});

let isDraining = false;
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    // A second signal ends the node at once.
    if (isDraining) process.exit(1);
    isDraining = true;
    void node.drain(drain);
  });
}
log({
  event: "listening",
  lines: String(node.address),
  webSocket: node.webSocketAddress && String(node.webSocketAddress),
  health: node.healthAddress && String(node.healthAddress),
});
