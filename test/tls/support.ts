// Certificates for the tests of TLS, made by the openssl command when a file of tests starts, and pairs of connections.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { AF_INET, SOCK_STREAM, Socket, SocketConn, socketpair, Stream, toDuplex, wrapTls } from "berkeley";
import type { Conn, TlsClientOptions, TlsConn, TlsContextOptions, TlsServerOptions } from "berkeley";
import { memoryPair } from "berkeley/testing";

/** A certificate and its key in PEM, and the files where they are. */
export interface Credentials {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Certificates {
  /** Signs all the others. */
  readonly ca: Credentials;
  /** For localhost, 127.0.0.1 and *.site.test. */
  readonly server: Credentials;
  /** Another one for the same names. */
  readonly renewed: Credentials;
  /** For other.test only. */
  readonly other: Credentials;
  /** For localhost, expired. */
  readonly expired: Credentials;
  /** For localhost, signed by itself. */
  readonly selfSigned: Credentials;
  /** Of a client. */
  readonly client: Credentials;
}

let made: Certificates | undefined;
let folder: string | undefined;

// Here, and not where the folder is made: there it would belong to the test that is running.
after(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true });
});

/** The certificates; made once in a file of tests and removed with its end. */
export function certificates(): Certificates {
  return (made ??= make());
}

function make(): Certificates {
  const place = mkdtempSync(join(tmpdir(), "berkeley-tls-"));
  folder = place;
  const openssl = (...args: string[]): void =>
    void execFileSync("openssl", args, { cwd: place, stdio: ["ignore", "ignore", "pipe"] });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const load = (name: string): Credentials => {
    const [certFile, keyFile] = [join(place, `${name}.pem`), join(place, `${name}.key`)];
    return { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8"), certFile, keyFile };
  };
  const selfSign = (name: string, ...more: string[]): Credentials => {
    const files = ["-keyout", `${name}.key`, "-out", `${name}.pem`];
    openssl("req", "-x509", ...newKey, ...files, "-days", "2", "-subj", `/CN=${name}`, ...more);
    return load(name);
  };
  const sign = (name: string, extensions: string, ...dates: string[]): Credentials => {
    openssl("req", "-new", ...newKey, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    writeFileSync(join(place, `${name}.ext`), extensions);
    const by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", `${name}.ext`];
    openssl("x509", "-req", "-in", `${name}.csr`, ...by, "-out", `${name}.pem`, ...dates);
    return load(name);
  };
  const local = "subjectAltName=DNS:localhost,DNS:*.site.test,IP:127.0.0.1\n";
  return {
    ca: selfSign("ca"),
    server: sign("server", local, "-days", "2"),
    renewed: sign("renewed", local, "-days", "2"),
    other: sign("other", "subjectAltName=DNS:other.test\n", "-days", "2"),
    // Its last day is yesterday: not_after = not_before + days.
    expired: sign("expired", local, "-days", "-1"),
    selfSigned: selfSign("selfsigned", "-addext", "subjectAltName=DNS:localhost"),
    client: sign("client", "extendedKeyUsage=clientAuth\n", "-days", "2"),
  };
}

/** Two connected ends without TLS. */
export type MakePair = () => Promise<readonly [Conn, Conn]> | readonly [Conn, Conn];

export const inMemory: MakePair = () => memoryPair();

export const overTcp: MakePair = async () => {
  using listener = new Socket(AF_INET, SOCK_STREAM);
  await listener.bind("127.0.0.1:0");
  listener.listen(1);
  const client = new Socket(AF_INET, SOCK_STREAM);
  const accepting = listener.accept();
  await client.connect(listener.getsockname());
  const [server] = await accepting;
  return [new SocketConn(client), new SocketConn(server)];
};

export const overUnix: MakePair = () => {
  const [a, b] = socketpair();
  return [new SocketConn(a), new SocketConn(b)];
};

/** Hides the descriptor, so that TLS has to go through JavaScript. */
export function withoutDescriptor(pair: MakePair): MakePair {
  return async () => {
    const [a, b] = await pair();
    for (const conn of [a, b]) Object.defineProperty(conn, "detachNative", { value: () => undefined });
    return [a, b];
  };
}

/** A pair of connected ends of every kind, by what they go over. */
export const everyKind: Readonly<Record<string, MakePair>> = {
  "in memory": inMemory,
  "over TCP": overTcp,
  "over a UNIX socket": overUnix,
  "over TLS on TCP": () => tlsPair(overTcp),
  "over TLS in JavaScript": () => tlsPair(withoutDescriptor(overTcp)),
  "over a Duplex": async () => {
    const [a, b] = await overTcp();
    return [a, Stream.fromDuplex(toDuplex(b))];
  },
};

type Client = Omit<TlsClientOptions, "isServer">;
type Server = Omit<TlsServerOptions, "isServer">;

/** What a server needs. */
export const serving = (credentials: Credentials = certificates().server): TlsContextOptions => {
  const { cert, key } = credentials;
  return { cert, key };
};

/** What a client needs to trust the servers of these tests. */
export const trusting = (): Client => ({ ca: certificates().ca.cert, servername: "localhost" });

/** Both ends of a handshake: client, server. */
export async function tlsPair(
  pair: MakePair = inMemory,
  client: Client = trusting(),
  server: Server = serving(),
): Promise<[TlsConn, TlsConn]> {
  const [a, b] = await pair();
  return Promise.all([wrapTls(a, client), wrapTls(b, { ...server, isServer: true })]);
}

/** Both ends of a handshake that is to fail: what each rejects with, or its connection, which is closed afterwards. */
export async function failing(pair: MakePair, client: Client, server: Server): Promise<[unknown, unknown]> {
  const [a, b] = await pair();
  const outcomes = await Promise.allSettled([wrapTls(a, client), wrapTls(b, { ...server, isServer: true })]);
  for (const outcome of outcomes) {
    if (outcome.status !== "fulfilled") continue;
    outcome.value.abort();
    await outcome.value.close();
  }
  return outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value : outcome.reason)) as [
    unknown,
    unknown,
  ];
}
