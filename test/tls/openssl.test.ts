// TLS with the openssl command, as client and as server.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  connect,
  listen,
  Stream,
  TlsContext,
  type TlsContextOptions,
  type TlsConn,
  TlsListener,
  wrapTls,
} from "berkeley";
import { pattern } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { certificates, serving, trusting } from "./support.js";

checkLeaks();

const versions = [
  ["-tls1_2", "TLSv1.2"],
  ["-tls1_3", "TLSv1.3"],
] as const;

const reversed = (text: string): string => text.split("").toReversed().join("");

interface Visit {
  readonly stdout: string;
  readonly line: string | null;
  readonly server: TlsConn;
}

/** `openssl s_client` sends a line to a server of ours, which sends it back in capitals and closes. */
async function visitedBy(args: readonly string[], tls: TlsContext | TlsContextOptions = serving()): Promise<Visit> {
  await using listener = new TlsListener(await listen("tcp://127.0.0.1:0"), { tls });
  const to = ["-connect", String(listener.address), "-servername", "localhost", "-CAfile", certificates().ca.certFile];
  const common = ["s_client", ...to, "-verify_return_error", "-ign_eof"];
  await using client = new Program("openssl", [...common, ...args], { input: "hello from openssl\n" });
  const server = await listener.accept({ timeout: 20_000 });
  const stream = new Stream(server);
  const line = await stream.readLine();
  await stream.write(`${String(line).toUpperCase()}\n`);
  await stream.close();
  const { status, stdout, stderr } = await client.ended;
  assert.equal(status, 0, stderr);
  // Anywhere: s_client prints tickets and what it receives by different ways into the same pipe.
  assert.ok(stdout.includes("HELLO FROM OPENSSL"));
  assert.match(stdout, /Verify return code: 0 \(ok\)/);
  return { stdout, line, server };
}

for (const [flag, version] of versions) {
  test(`openssl s_client connects to our server: ${version}`, async () => {
    const { line, server } = await visitedBy([flag]);
    assert.equal(line, "hello from openssl");
    assert.equal(server.protocol, version);
    assert.equal(server.servername, "localhost");
  });

  test(`openssl s_client agrees on a protocol: ${version}`, async () => {
    const tls = { ...serving(), alpnProtocols: ["imap", "smtp"] };
    const { stdout, server } = await visitedBy([flag, "-alpn", "pop3,smtp"], tls);
    assert.equal(server.alpnProtocol, "smtp");
    assert.match(stdout, /ALPN protocol: smtp/);
  });

  test(`openssl s_client shows its certificate: ${version}`, async () => {
    const { ca, client } = certificates();
    const tls = { ...serving(), requestCert: true, ca: ca.cert };
    const { server } = await visitedBy([flag, "-cert", client.certFile, "-key", client.keyFile], tls);
    assert.equal(server.authorized, true);
  });

  test(`openssl s_client resumes its session: ${version}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "berkeley-session-"));
    after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "session.pem");
    const context = new TlsContext(serving());
    const first = await visitedBy([flag, "-sess_out", file], context);
    assert.equal(first.server.sessionReused, false);
    assert.match(first.stdout, /^New, TLSv/m);
    const second = await visitedBy([flag, "-sess_in", file], context);
    assert.equal(second.server.sessionReused, true);
    assert.match(second.stdout, /^Reused, TLSv/m);
  });

  test(`our client connects to openssl s_server: ${version}`, async () => {
    const { server, ca } = certificates();
    const pair = ["-cert", server.certFile, "-key", server.keyFile];
    const asks = ["-Verify", "1", "-CAfile", ca.certFile, "-verify_return_error"];
    await using program = new Program("openssl", [
      "s_server",
      flag,
      "-accept",
      "127.0.0.1:0",
      "-naccept",
      "2",
      "-rev",
      ...pair,
      ...asks,
      "-alpn",
      "echo,rev",
    ]);
    const [, port] = await program.line(/^ACCEPT .*:(\d+)$/);
    const shown = { cert: certificates().client.cert, key: certificates().client.key };
    const visit = async (session?: Uint8Array): Promise<Uint8Array> => {
      const plain = await connect(`tcp://127.0.0.1:${port}`);
      const conn = await wrapTls(plain, { ...trusting(), ...shown, alpnProtocols: ["rev"], session });
      await using stream = new Stream(conn);
      assert.equal(conn.protocol, version);
      assert.equal(conn.alpnProtocol, "rev");
      assert.equal(conn.authorized, true);
      assert.equal(conn.sessionReused, session !== undefined);
      for (const word of ["stressed", "drawer"]) {
        await stream.write(`${word}\n`);
        assert.equal(await stream.readLine(), reversed(word));
      }
      // With TLS 1.2 a server that resumes a session offers no other.
      return session ?? (await conn.nextSession({ timeout: 5000 }));
    };
    await visit(await visit());
  });
}

test("much goes both ways through openssl s_server", async () => {
  const { server } = certificates();
  const pair = ["-cert", server.certFile, "-key", server.keyFile];
  await using program = new Program("openssl", [
    "s_server",
    "-accept",
    "127.0.0.1:0",
    "-naccept",
    "1",
    "-rev",
    ...pair,
  ]);
  const [, port] = await program.line(/^ACCEPT .*:(\d+)$/);
  const conn = await wrapTls(await connect(`tcp://127.0.0.1:${port}`), trusting());
  await using stream = new Stream(conn);
  for (let round = 0; round < 200; round++) {
    const text = pattern(4000, round * 4000).toString("hex");
    await stream.write(`${text}\n`);
    assert.equal(await stream.readLine(), reversed(text));
  }
});

test("openssl s_client refuses a certificate of ours that is for another name", async () => {
  const errors: unknown[] = [];
  const tls = serving(certificates().other);
  const onHandshakeError = (error: unknown): void => void errors.push(error);
  await using listener = new TlsListener(await listen("tcp://127.0.0.1:0"), { tls, onHandshakeError });
  const args = [
    "s_client",
    "-connect",
    String(listener.address),
    "-servername",
    "localhost",
    "-verify_hostname",
    "localhost",
  ];
  await using client = new Program(
    "openssl",
    [...args, "-CAfile", certificates().ca.certFile, "-verify_return_error"],
    { input: "" },
  );
  const accepting = assert.rejects(listener.accept(), { code: "ECANCELED" });
  assert.notEqual((await client.ended).status, 0);
  while (errors.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal((errors[0] as { code?: string }).code, "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE");
  await listener.close();
  await accepting;
});
