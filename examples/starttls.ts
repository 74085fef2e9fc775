// STARTTLS: a connection that begins without TLS and changes to TLS, as in SMTP and IMAP.
//
//   openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 30 \
//     -subj /CN=localhost -addext subjectAltName=DNS:localhost
//   node out/examples/starttls.js server cert.pem key.pem [port]
//   node out/examples/starttls.js client cert.pem [port]        cert.pem is what the client trusts
//
// Both sides must discard all bytes that arrived before TLS. An attacker on the network can insert commands after
// STARTTLS, and the server would read them as if they had arrived over TLS. wrapTls() refuses a stream that has read
// such bytes. If they arrive later, the handshake fails, because they are not TLS.

import { readFileSync } from "node:fs";
import { connect, type EndpointLike, listen, Stream, TlsContext, TlsError, wrapTls } from "berkeley";
import { Clients } from "./lib/clients.js";
import { isProgram, untilInterrupted } from "./lib/program.js";

/** Milliseconds without a line of the client. */
const IDLE_TIMEOUT = 60_000;
const LINE = { max: 512, timeout: IDLE_TIMEOUT };

/** The commands that work with and without TLS. Resolves with true if the client requests TLS. */
async function converse(stream: Stream, encrypted: boolean): Promise<boolean> {
  for await (const line of stream.lines(LINE)) {
    switch (line.toUpperCase()) {
      case "STARTTLS":
        if (!encrypted) return true;
        await stream.write("503 TLS is there already\r\n");
        break;
      case "SECRET":
        await stream.write(encrypted ? "250 the cake is in the cellar\r\n" : "530 say STARTTLS first\r\n");
        break;
      case "QUIT":
        await stream.write("221 bye\r\n");
        return false;
      default:
        await stream.write("500 there are STARTTLS, SECRET and QUIT\r\n");
    }
  }
  return false;
}

async function serveClient(plain: Stream, context: TlsContext): Promise<void> {
  await plain.write("220 ready\r\n");
  if (!(await converse(plain, false))) return;
  if (plain.buffered > 0) {
    await plain.write("501 nothing may follow STARTTLS\r\n");
    return;
  }
  await plain.write("220 go ahead\r\n");
  await using stream = new Stream(await wrapTls(plain, { isServer: true, context }));
  await converse(stream, true);
}

/** Starts the server. `close()` of the result ends it. */
export async function startServer(endpoint: EndpointLike, context: TlsContext): Promise<Clients> {
  return new Clients(await listen(endpoint), 1000, (stream) => serveClient(stream, context));
}

/** Requests the secret of a server, over TLS. */
export async function askSecret(endpoint: EndpointLike, servername: string, ca: string): Promise<string> {
  await using plain = await connect(endpoint, { timeout: IDLE_TIMEOUT });
  const expect = async (stream: Stream, code: string): Promise<string> => {
    const line = await stream.readLine(LINE);
    if (line === null || !line.startsWith(`${code} `)) throw new Error(`needed ${code}, found ${String(line)}`);
    return line.slice(4);
  };
  await expect(plain, "220");
  await plain.write("STARTTLS\r\n");
  await expect(plain, "220");
  await using stream = new Stream(await wrapTls(plain, { servername, ca }));
  await stream.write("SECRET\r\n");
  const secret = await expect(stream, "250");
  await stream.write("QUIT\r\n");
  await expect(stream, "221");
  return secret;
}

if (isProgram(import.meta.url)) {
  const [, , role, ...args] = process.argv;
  const read = (index: number): string => readFileSync(args[index] ?? "cert.pem", "utf8");
  if (role === "server") {
    const context = new TlsContext({ cert: read(0), key: read(1) });
    // SIGHUP reads a new certificate from the same files. Open connections continue.
    process.on("SIGHUP", () => context.reload({ cert: read(0), key: read(1) }));
    untilInterrupted(await startServer(`tcp://127.0.0.1:${args[2] ?? 8888}`, context));
  } else {
    try {
      console.log(await askSecret(`tcp://localhost:${args[1] ?? 8888}`, "localhost", read(0)));
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      console.error(error.message);
      process.exitCode = 1;
    }
  }
}
