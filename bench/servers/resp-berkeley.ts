// The unchanged example resp.ts.

import { RespServer } from "../../examples/resp.js";

const { address } = await RespServer.start("tcp://127.0.0.1:0");
if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
console.log(JSON.stringify({ port: address.port }));
