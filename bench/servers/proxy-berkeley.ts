// The unchanged example proxy.ts. Its argument is the port of the target.

import { startProxy } from "../../examples/proxy.js";

const { address } = await startProxy("tcp://127.0.0.1:0", ["127.0.0.1", Number(process.argv[2])]);
if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
console.log(JSON.stringify({ port: address.port }));
