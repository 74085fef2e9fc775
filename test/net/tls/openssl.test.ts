// tls:// endpoints against the openssl command, as client and as server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { Program } from "../../support/program.js";
import { certificates, serving } from "../../tls/support.js";
import { serve } from "./support.js";

checkLeaks();

for (const [flag, version] of [
  ["-tls1_2", "TLSv1.2"],
  ["-tls1_3", "TLSv1.3"],
] as const) {
  test(`openssl s_client visits listen(): ${version}`, async () => {
    await using listener = await serve({ ...serving(), alpnProtocols: ["imap", "smtp"] });
    const to = [
      "-connect",
      String(listener.address),
      "-servername",
      "localhost",
      "-CAfile",
      certificates().ca.certFile,
    ];
    const checks = ["-verify_return_error", "-verify_hostname", "localhost", "-ign_eof", "-alpn", "smtp"];
    await using client = new Program("openssl", ["s_client", flag, ...to, ...checks], { input: "from openssl\n" });
    const stream = await listener.accept({ timeout: 20_000 });
    assert.deepEqual([stream.conn.protocol, stream.conn.alpnProtocol], [version, "smtp"]);
    assert.equal(await stream.readLine(), "from openssl");
    await stream.write("TO OPENSSL\n");
    await stream.close();
    const { status, stdout, stderr } = await client.ended;
    assert.equal(status, 0, stderr);
    assert.ok(stdout.includes("TO OPENSSL"));
    assert.match(stdout, /Verify return code: 0 \(ok\)/);
  });

  test(`connect() visits openssl s_server: ${version}`, async () => {
    const { ca, client, server } = certificates();
    const own = ["-cert", server.certFile, "-key", server.keyFile, "-alpn", "rev"];
    const asks = ["-Verify", "1", "-CAfile", ca.certFile, "-verify_return_error"];
    const args = ["s_server", flag, "-accept", "127.0.0.1:0", "-naccept", "1", "-rev", ...own, ...asks];
    await using running = new Program("openssl", args);
    const [, port] = await running.line(/^ACCEPT .*:(\d+)$/);
    const tls = { ca: ca.cert, cert: client.cert, key: client.key, alpnProtocols: ["rev"] };
    await using stream = await connect(`tls://localhost:${Number(port)}`, { timeout: 20_000, tls });
    assert.deepEqual([stream.conn.protocol, stream.conn.alpnProtocol], [version, "rev"]);
    await stream.write("stressed\n");
    assert.equal(await stream.readLine(), "desserts");
  });
}
