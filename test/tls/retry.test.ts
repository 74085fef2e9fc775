// connect() with `retry` over TLS: a refused certificate is not tried again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, isRetryable, listen, Reconnector, TlsError } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { certificates } from "./support.js";

checkLeaks();

test("a certificate that is refused is not tried again, by connect() and by a Reconnector", async () => {
  const { cert, key } = certificates().server;
  const onHandshakeError = (): undefined => undefined;
  await using listener = await listen("tls://127.0.0.1:0", { tls: { cert, key, onHandshakeError } });
  void listener.accept().catch(() => undefined);
  const endpoint = `tls://${String(listener.address)}`;
  const retry = { minDelay: 1, onRetry: () => assert.fail("no second try") };
  const refused: unknown = await connect(endpoint, { retry }).catch((error: unknown) => error);
  assert.ok(refused instanceof TlsError, String(refused));
  assert.equal(isRetryable(refused), false);
  await using reconnector = new Reconnector(endpoint, { retry });
  await assert.rejects(reconnector.connection(), (error) => error instanceof TlsError && error.code === refused.code);
  assert.equal(reconnector.stats().failures, 1);
});
