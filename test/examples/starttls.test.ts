// The example starttls.ts: the change to TLS, attacks before it, and both programs.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { connect, listen, TlsContext, TlsError, wrapTls } from "berkeley";
import { askSecret, startServer } from "../../examples/starttls.js";
import { checkLeaks } from "../support/leaks.js";
import { Program, compiled } from "../support/program.js";
import { certificates, serving, trusting } from "../tls/support.js";

checkLeaks();

test("starttls.ts sends its secret only over TLS", async () => {
  await using server = await startServer("tcp://127.0.0.1:0", new TlsContext(serving()));
  const endpoint = `tcp://${String(server.address)}`;
  assert.equal(await askSecret(endpoint, "localhost", certificates().ca.cert), "the cake is in the cellar");
  await using plain = await connect(endpoint);
  assert.equal(await plain.readLine(), "220 ready");
  await plain.write("SECRET\r\n");
  assert.equal(await plain.readLine(), "530 say STARTTLS first");
  await plain.write("QUIT\r\n");
  assert.equal(await plain.readLine(), "221 bye");
});

test("starttls.ts accepts no command that was sent unencrypted after STARTTLS", async () => {
  await using server = await startServer("tcp://127.0.0.1:0", new TlsContext(serving()));
  const endpoint = `tcp://${String(server.address)}`;
  await using together = await connect(endpoint);
  await together.write("STARTTLS\r\nSECRET\r\n");
  assert.equal(await together.readLine(), "220 ready");
  assert.equal(await together.readLine(), "501 nothing may follow STARTTLS");
  assert.equal(await together.readLine(), null);

  await using later = await connect(endpoint);
  await later.write("STARTTLS\r\n");
  assert.equal(await later.readLine(), "220 ready");
  assert.equal(await later.readLine(), "220 go ahead");
  await later.write("SECRET\r\n");
  await assert.rejects(wrapTls(later, { ...trusting(), handshakeTimeout: 5000 }));
});

test("the client of starttls.ts accepts no answer that was sent unencrypted after the go-ahead", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const asking = askSecret(`tcp://${String(listener.address)}`, "localhost", certificates().ca.cert);
  await using attacker = await listener.accept();
  await attacker.write("220 ready\r\n220 go ahead\r\n250 the cake is a lie\r\n");
  await assert.rejects(asking, (error: unknown) => error instanceof TlsError && error.code === "ERR_TLS_BUFFERED");
});

test("starttls.ts runs as server and client, and refuses a server that it does not trust", async () => {
  const { server, ca, other } = certificates();
  const script = join(compiled, "examples", "starttls.js");
  await using running = Program.node([script, "server", server.certFile, server.keyFile, "0"]);
  const [, port = ""] = await running.line(/^listening on .*:(\d+)$/);
  const client = async (trusted: string): Promise<{ status: unknown; stdout: string; stderr: string }> => {
    await using program = Program.node([script, "client", trusted, port]);
    const { status, stdout, stderr } = await program.ended;
    return { status, stdout, stderr };
  };
  assert.deepEqual(await client(ca.certFile), { status: 0, stdout: "the cake is in the cellar\n", stderr: "" });
  const { status, stdout, stderr } = await client(other.certFile);
  assert.deepEqual({ status, stdout }, { status: 1, stdout: "" });
  // The words are Node's, which has more of them in later versions.
  assert.match(stderr, /^TLS handshake failed: unable to verify .*\(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)\n$/);
  running.kill("SIGINT");
  assert.equal((await running.ended).status, 0);
});
