// The outbox of a stream over TLS.
import { connect, listen } from "berkeley";
import { testOutbox } from "../stream/outboxChecks.js";
import { checkLeaks } from "../support/leaks.js";
import { certificates } from "./support.js";

checkLeaks();

testOutbox("TLS", async (opts) => {
  const { ca, server } = certificates();
  await using listener = await listen("tls://127.0.0.1:0", { ...opts, tls: { cert: server.cert, key: server.key } });
  const accepting = listener.accept();
  const reader = await connect(`tls://${String(listener.address)}`, { tls: { ca: ca.cert } });
  return [await accepting, reader];
});
