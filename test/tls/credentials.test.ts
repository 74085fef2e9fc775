// Keys, certificates, lists and parameters: a context reads and uses all of them, or its constructor throws.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  connect,
  listen,
  type TlsClientOptions,
  TlsContext,
  type TlsContextOptions,
  type TlsCredentials,
  TlsError,
  TlsListener,
  wrapTls,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import { MemoryListener } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { certificates, failing, inMemory, overTcp, serving, tlsPair, trusting } from "./support.js";

checkLeaks();

const place = mkdtempSync(join(tmpdir(), "berkeley-credentials-"));
after(() => rmSync(place, { recursive: true }));

function openssl(...args: string[]): void {
  execFileSync("openssl", args, { cwd: place, stdio: ["ignore", "ignore", "pipe"] });
}

/** Runs openssl, which writes to the file `out`; its content. */
function made(out: string, ...args: string[]): Buffer {
  openssl(...args, "-out", out);
  return readFileSync(join(place, out));
}

const { ca, server, renewed, other, client, selfSigned } = certificates();
const rsa = ((): { cert: string; key: string } => {
  openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "rsa.key", "-out", "rsa.pem", "-subj", "/CN=rsa");
  return { cert: readFileSync(join(place, "rsa.pem"), "utf8"), key: readFileSync(join(place, "rsa.key"), "utf8") };
})();

/** The list of the authority of these tests, in which nothing is revoked. */
const crl = ((): string => {
  writeFileSync(join(place, "index.txt"), "");
  writeFileSync(
    join(place, "ca.conf"),
    "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=2\n",
  );
  const by = ["-cert", ca.certFile, "-keyfile", ca.keyFile];
  return made("crl.pem", "ca", "-config", "ca.conf", "-gencrl", ...by).toString();
})();
const pfx = made(
  "server.p12",
  "pkcs12",
  "-export",
  "-inkey",
  server.keyFile,
  "-in",
  server.certFile,
  "-passout",
  "pass:open",
);
const dh = made("dh.pem", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048").toString();
const encrypted = made("enc.key", "ec", "-aes128", "-in", server.keyFile, "-passout", "pass:open").toString();

/** The same PEM without a line in the middle of it. */
function damaged(pem: string): string {
  const lines = pem.split("\n");
  lines.splice(3, 1);
  return lines.join("\n");
}

const half = (pem: string): string => pem.slice(0, pem.length / 2);
const noBase64 = (pem: string): string => pem.replace(/\n(.{10}).{4}/, "\n$1!!!!");
/** DER as a certificate in PEM. */
const wrapped = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
const derOf = (pem: string): Buffer => Buffer.from(pem.replace(/-----.*-----/g, ""), "base64");
/** Both certificates in one block. */
const merged = (first: string, second: string): string => wrapped(Buffer.concat([derOf(first), derOf(second)]));
/** The key of a certificate with a bit changed, so that it is no point of its curve. */
function offCurve(pem: string): string {
  const der = derOf(pem);
  const point = der.indexOf(Buffer.from("034200", "hex")) + 3;
  der.writeUInt8(der.readUInt8(point + 20) ^ 1, point + 20);
  return wrapped(der);
}

const three = (second: string): string => `# first\n${ca.cert}# second\n${second}# third\n${renewed.cert}`;

type Case = readonly [what: string, credentials: object, error: typeof TlsError | typeof TypeError, message: RegExp];

/** Wrong certificates of authorities, for clients and servers. */
const trusted: readonly Case[] = [
  ["ca that is empty", { ca: "" }, TlsError, /: ca: there is no certificate in it \(ERR_OSSL_PEM_NO_START_LINE\)$/],
  ["ca of no bytes", { ca: new Uint8Array(0) }, TlsError, /ca: there is no certificate/],
  ["ca that is an empty array", { ca: [] }, TypeError, /ca is an empty array, required PEM/],
  ["ca with an empty member", { ca: [ca.cert, ""] }, TlsError, /ca\[1\]: there is no certificate/],
  ["ca that is null", { ca: null }, TypeError, /ca is null, required PEM/],
  ["ca that is false", { ca: false }, TypeError, /ca is a boolean, required PEM/],
  ["ca that is an object", { ca: { pem: ca.cert } }, TypeError, /ca is .* required PEM/],
  ["ca with a member that is none", { ca: [ca.cert, undefined] }, TypeError, /ca\[1\] is undefined, required PEM/],
  ["ca of other text", { ca: "no certificate" }, TlsError, /ca: there is no certificate/],
  [
    "ca that is cut off",
    { ca: half(ca.cert) },
    TlsError,
    /ca: the last CERTIFICATE is cut off \(ERR_OSSL_PEM_BAD_END_LINE\)$/,
  ],
  [
    "ca whose beginning is cut off",
    { ca: ca.cert.slice(40) },
    TlsError,
    /line \d+ belongs to a block whose first line is missing/,
  ],
  ["ca that lost its borders", { ca: ca.cert.replace(/-----.*-----\n/g, "") }, TlsError, /first line is missing/],
  ["ca with a dash too few", { ca: ca.cert.replace("-----B", "----B") }, TlsError, /line 1 belongs to a block/],
  ["ca on one line", { ca: ca.cert.replaceAll("\n", "\\n") }, TlsError, /line 1 belongs to a block/],
  [
    "ca without its last line",
    { ca: ca.cert.replace(/-----END.*\n/, "") + renewed.cert },
    TlsError,
    /has no last line/,
  ],
  [
    "ca in DER",
    { ca: Buffer.from(ca.cert.replace(/-----.*-----/g, ""), "base64") },
    TlsError,
    /there is no certificate/,
  ],
  ["ca that is a key", { ca: ca.key }, TlsError, /ca: there is no certificate in it/],
  ["ca with a list of revoked certificates", { ca: ca.cert + crl }, TlsError, /it has a block "X509 CRL"/],
  ["ca with a line missing", { ca: damaged(ca.cert) }, TlsError, /ca can't be used: /],
  [
    "ca with signs that are no base64",
    { ca: noBase64(ca.cert) },
    TlsError,
    /is no base64 \(ERR_OSSL_PEM_BAD_BASE64_DECODE\)$/,
  ],
  [
    "ca of three with the second damaged",
    { ca: three(damaged(server.cert)) },
    TlsError,
    /ca, certificate 2 of 3, can't be used/,
  ],
  [
    "ca of three with the second cut off",
    { ca: three(half(server.cert)) },
    TlsError,
    /the CERTIFICATE before line \d+ has no last line/,
  ],
  [
    "ca of three with the second off its curve",
    { ca: three(offCurve(server.cert)) },
    TlsError,
    /2 of 3, can't be used: its key/,
  ],
  ["ca of three with the second no base64", { ca: three(noBase64(server.cert)) }, TlsError, /is no base64/],
  ["ca of three with the second of another kind", { ca: three(crl) }, TlsError, /it has a block "X509 CRL"/],
  ["ca of two run into one", { ca: merged(ca.cert, server.cert) }, TlsError, /ca can't be used: /],
  ["crl that is empty", { ca: ca.cert, crl: "" }, TlsError, /crl: there is no list of revoked certificates in it/],
  ["crl that is an empty array", { ca: ca.cert, crl: [] }, TypeError, /crl is an empty array/],
  ["crl that is cut off", { ca: ca.cert, crl: half(crl) }, TlsError, /crl: the last X509 CRL is cut off/],
  ["crl with a line missing", { ca: ca.cert, crl: damaged(crl) }, TlsError, /crl can't be used/],
  ["crl that is a certificate", { ca: ca.cert, crl: ca.cert }, TlsError, /crl: it has a block "CERTIFICATE"/],
  ["crl of two with the second damaged", { ca: ca.cert, crl: crl + damaged(crl) }, TlsError, /crl can't be used/],
  ["crl that is a number", { ca: ca.cert, crl: 5 }, TypeError, /crl is a number, required PEM/],
];

/** What may be wrong with what a side shows of itself. */
const own: readonly Case[] = [
  [
    "a key of another certificate",
    { cert: server.cert, key: other.key },
    TlsError,
    /fits no key .*\(ERR_OSSL_X509_KEY_VALUES_MISMATCH\)$/,
  ],
  [
    "a cert in the place of the key",
    { cert: server.cert, key: server.cert },
    TlsError,
    /key: there is no private key in it/,
  ],
  [
    "a key in the place of the cert",
    { cert: server.key, key: server.key },
    TlsError,
    /cert: there is no certificate in it/,
  ],
  [
    "a public key",
    { cert: server.cert, key: made("pub.pem", "ec", "-pubout", "-in", server.keyFile).toString() },
    TlsError,
    /key: it has a block "PUBLIC KEY"/,
  ],
  ["an empty key", { cert: server.cert, key: "" }, TlsError, /key: there is no private key/],
  ["an empty cert", { cert: "", key: server.key }, TlsError, /cert: there is no certificate/],
  ["an empty list of certs", { cert: [], key: server.key }, TypeError, /cert is an empty array/],
  [
    "a key that is cut off",
    { cert: server.cert, key: half(server.key) },
    TlsError,
    /key: the last PRIVATE KEY is cut off/,
  ],
  ["a key with a line missing", { cert: rsa.cert, key: damaged(rsa.key) }, TlsError, /key can't be used/],
  [
    "a cert that is cut off",
    { cert: half(server.cert), key: server.key },
    TlsError,
    /cert: the last CERTIFICATE is cut off/,
  ],
  [
    "a chain with a damaged second",
    { cert: server.cert + damaged(ca.cert), key: server.key },
    TlsError,
    /cert, certificate 2 of 2, can't/,
  ],
  [
    "two keys in one",
    { cert: server.cert, key: server.key + other.key },
    TlsError,
    /key holds 2 private keys, required one/,
  ],
  ["a key too many", { cert: server.cert, key: [server.key, other.key] }, TlsError, /key\[1\] fits no certificate/],
  ["a cert too many", { cert: [server.cert, rsa.cert], key: server.key }, TlsError, /cert\[1\] fits no key/],
  [
    "two certs for one place",
    { cert: [server.cert, other.cert], key: [server.key, other.key] },
    TlsError,
    /cert\[1\] would replace cert\[0\]/,
  ],
  ["a key that is an object", { cert: server.cert, key: { pem: server.key } }, TypeError, /key is .* required PEM/],
  ["a cert without a key", { cert: server.cert }, TypeError, /cert was given without key/],
  ["a key without a cert", { key: server.key }, TypeError, /key was given without cert/],
  ["a locked key", { cert: server.cert, key: encrypted }, TlsError, /key can't be used/],
  [
    "a key with another passphrase",
    { cert: server.cert, key: encrypted, passphrase: "shut" },
    TlsError,
    /key can't be used/,
  ],
  [
    "a passphrase that is none",
    { cert: server.cert, key: encrypted, passphrase: 5 },
    TypeError,
    /passphrase is a number/,
  ],
  ["a pfx that is empty", { pfx: new Uint8Array(0) }, TlsError, /pfx is empty, cut off/],
  ["a pfx that is text", { pfx: server.cert }, TypeError, /pfx is .*, required the bytes of a PKCS #12 file/],
  ["a pfx that is PEM", { pfx: Buffer.from(server.cert) }, TlsError, /pfx is empty, cut off/],
  ["a pfx that is cut off", { pfx: pfx.subarray(0, 400), passphrase: "open" }, TlsError, /pfx is empty, cut off/],
  ["a pfx with bytes behind it", { pfx: Buffer.concat([pfx, pfx]), passphrase: "open" }, TlsError, /more than one/],
  ["a pfx with another passphrase", { pfx, passphrase: "shut" }, TlsError, /pfx can't be used: /],
  [
    "a pfx that is damaged",
    { pfx: Buffer.from(pfx).fill(7, 300, 310), passphrase: "open" },
    TlsError,
    /pfx can't be used: /,
  ],
  [
    "a pfx without a key",
    { pfx: made("nokey.p12", "pkcs12", "-export", "-nokeys", "-in", server.certFile, "-passout", "pass:") },
    TlsError,
    /pfx can't be used/,
  ],
  [
    "a pfx and a key",
    { pfx, passphrase: "open", ...serving() },
    TypeError,
    /pfx is set together with key or cert, required/,
  ],
];

function check(error: unknown, kind: typeof TlsError | typeof TypeError, message: RegExp): true {
  assert.ok(error instanceof kind, `found ${String(error)}`);
  assert.match(error.message, message);
  assert.ok(error.message.startsWith("Cannot "), error.message);
  if (error instanceof TlsError) assert.match(error.code, /^ERR_/);
  return true;
}

for (const [what, credentials, kind, message] of trusted) {
  test(`a client, a server that requests certificates and reload() refuse ${what}`, async () => {
    const wrong = credentials as TlsContextOptions;
    assert.throws(
      () => new TlsContext(wrong),
      (error) => check(error, kind, message),
    );
    const [a, b] = memoryPair();
    const asClient = { ...wrong, servername: "localhost" } as TlsClientOptions;
    await assert.rejects(wrapTls(a, asClient), (error) => check(error, kind, message));
    const asServer = { ...serving(), ...wrong, requestCert: true };
    await assert.rejects(wrapTls(b, { ...asServer, isServer: true }), (error) => check(error, kind, message));
    // Both were left alone.
    await a.write("x");
    assert.equal(await b.read(Buffer.alloc(8)), 1);
    assert.throws(
      () => new TlsListener(new MemoryListener(), { tls: asServer }),
      (error) => check(error, kind, message),
    );
    await assert.rejects(connect("tls://localhost:1", { tls: wrong as object }), (error) =>
      check(error, kind, message),
    );
    await assert.rejects(listen("tls://127.0.0.1:0", { tls: asServer }), (error) => check(error, kind, message));
    const context = new TlsContext({ ca: ca.cert });
    assert.throws(
      () => context.reload(wrong),
      (error) => check(error, kind, message),
    );
    const [one, peer] = await tlsPair(inMemory, { context, servername: "localhost" });
    await Promise.all([one.close(), peer.close()]);
  });
}

for (const [what, credentials, kind, message] of own) {
  test(`a context of either side refuses ${what}`, async () => {
    const wrong = credentials as TlsContextOptions;
    assert.throws(
      () => new TlsContext(wrong),
      (error) => check(error, kind, message),
    );
    await assert.rejects(connect("tls://localhost:1", { tls: wrong as object }), (error) =>
      check(error, kind, message),
    );
    await assert.rejects(listen("tls://127.0.0.1:0", { tls: wrong }), (error) => check(error, kind, message));
  });
}

test("reload() refuses credentials that do not fit those that stay, and keeps these", async () => {
  const context = new TlsContext(serving());
  const wrong: readonly TlsCredentials[] = [
    { key: other.key },
    { cert: other.cert },
    { cert: half(server.cert) },
    { passphrase: "open", pfx: pfx.subarray(1) },
    { ca: "" },
  ];
  for (const credentials of wrong) assert.throws(() => context.reload(credentials), TlsError);
  const [a, b] = await tlsPair(overTcp, trusting(), { context });
  assert.equal(a.peerCertificate?.subject, "CN=server");
  await Promise.all([a.close(), b.close()]);
});

test("reload() puts pfx in the place of cert and key, and they in its", async () => {
  const context = new TlsContext(serving(renewed));
  const subject = async (): Promise<string | undefined> => {
    const [a, b] = await tlsPair(overTcp, trusting(), { context });
    const shown = a.peerCertificate?.subject;
    await Promise.all([a.close(), b.close()]);
    return shown;
  };
  context.reload({ pfx, passphrase: "open" });
  assert.equal(await subject(), "CN=server");
  context.reload({ ...serving(renewed), ca: undefined });
  assert.equal(await subject(), "CN=renewed");
  context.reload({});
  assert.equal(await subject(), "CN=renewed");
});

test("credentials may have comments, CRLF, several certificates and both parts of a pair in one file", async () => {
  const both = `Bag Attributes\n    friendlyName: server\n${server.cert}${server.key}`;
  const bundle = Buffer.from(
    `# trusted\n#-----BEGIN CERTIFICATE-----\n${other.key}\n\n${selfSigned.cert}=====\n${ca.cert}`.replaceAll(
      "\n",
      "\r\n",
    ),
  );
  const [a, b] = await tlsPair(overTcp, { ca: bundle, servername: "localhost" }, { cert: both, key: both });
  assert.equal(a.authorized, true);
  await Promise.all([a.close(), b.close()]);
});

test("certificates with keys of two types serve clients that can use one of them", async () => {
  const context = new TlsContext({ cert: [server.cert, rsa.cert], key: [rsa.key, server.key] });
  for (const [sigalgs, subject] of [
    ["RSA-PSS+SHA256", "CN=rsa"],
    ["ECDSA+SHA256", "CN=server"],
  ] as const) {
    const trust = { ca: [ca.cert, rsa.cert], sigalgs, servername: "localhost", checkServerIdentity: () => undefined };
    const [a, b] = await tlsPair(overTcp, trust, { context });
    assert.equal(a.peerCertificate?.subject, subject);
    await Promise.all([a.close(), b.close()]);
  }
});

test("an encrypted key is opened by its passphrase, and every list in crl is used", async () => {
  const rsaList = ((): string => {
    const by = ["-cert", "rsa.pem", "-keyfile", "rsa.key"];
    return made("rsa.crl", "ca", "-config", "ca.conf", "-gencrl", ...by).toString();
  })();
  const settings = { ca: ca.cert, crl: rsaList + crl, servername: "localhost" };
  const [a, b] = await tlsPair(overTcp, settings, { cert: server.cert, key: encrypted, passphrase: "open" });
  assert.equal(a.authorized, true);
  await Promise.all([a.close(), b.close()]);
  const [error] = await failing(overTcp, { ...settings, crl: rsaList }, serving());
  assert.equal((error as TlsError).code, "UNABLE_TO_GET_CRL");
});

test("a server's requestCert verifies by ca, and by nothing else", async () => {
  const settings = { ...serving(), requestCert: true, ca: ca.cert };
  const [a, b] = await tlsPair(overTcp, { ...trusting(), cert: client.cert, key: client.key }, settings);
  assert.equal(b.authorized, true);
  await Promise.all([a.close(), b.close()]);
});

const small = "-----BEGIN DH PARAMETERS-----\nMAYCAQcCAQI=\n-----END DH PARAMETERS-----\n";

test("dhparam is refused when it is empty, damaged, of another kind, short or no prime", () => {
  const notPrime = dh.replace(/(.)\n(-----END|[^-\n]*\n-----END)/, (all, sign: string) =>
    all.replace(sign, sign === "A" ? "B" : "A"),
  );
  const wrong: readonly [unknown, typeof TlsError | typeof TypeError, RegExp][] = [
    ["", TlsError, /dhparam: there is no set of DH parameters/],
    [5, TypeError, /dhparam is a number/],
    ["Auto", TlsError, /there is no set/],
    [half(dh), TlsError, /cut off/],
    [damaged(dh), TlsError, /not DER|no base64/],
    [server.cert, TlsError, /it has a block "CERTIFICATE"/],
    [dh + dh, TlsError, /2 sets of parameters/],
    [small, TlsError, /its prime has 3 bits, required at least 1024/],
    [notPrime, TlsError, /its prime is not a prime number/],
  ];
  for (const [dhparam, kind, message] of wrong) {
    assert.throws(
      () => new TlsContext({ ...serving(), dhparam } as TlsContextOptions),
      (error) => check(error, kind, message),
    );
  }
  assert.throws(
    () => new TlsContext({ ciphers: "HIGH", dhparam: "auto", nonsense: 1 } as object),
    /option "nonsense" is unknown/,
  );
});

test("dhparam gives a server the cipher suites that need it", async () => {
  const suite = { ciphers: "DHE-RSA-AES128-GCM-SHA256", maxVersion: "TLSv1.2" } as const;
  const trust = { ca: rsa.cert, servername: "localhost", checkServerIdentity: () => undefined, ...suite };
  for (const dhparam of [dh, "auto"]) {
    const [a, b] = await tlsPair(overTcp, trust, { ...rsa, ...suite, dhparam });
    assert.equal(a.cipher.name, "DHE-RSA-AES128-GCM-SHA256");
    await Promise.all([a.close(), b.close()]);
  }
});

test("an unknown name in a list for OpenSSL is refused, alone or with others", () => {
  const lists: readonly [keyof TlsContextOptions, good: readonly string[], bad: readonly string[]][] = [
    [
      "ciphers",
      ["HIGH:!RC4:!NOPE", "TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256", "DEFAULT@SECLEVEL=1", "ECDHE+AESGCM"],
      ["NOPE", "HIGH:NOPE", "TLS_NOPE:TLS_AES_128_GCM_SHA256", "HIGH:TLS_NOPE"],
    ],
    ["sigalgs", ["ECDSA+SHA256:RSA-PSS+SHA256"], ["NOPE", "ECDSA+SHA256:NOPE"]],
    ["ecdhCurve", ["auto", "P-256:X25519"], ["NOPE", "P-256:NOPE"]],
  ];
  for (const [name, good, bad] of lists) {
    for (const value of good) assert.ok(new TlsContext({ [name]: value }));
    for (const value of bad) {
      assert.throws(
        () => new TlsContext({ [name]: value }),
        (error) => check(error, TlsError, new RegExp(`${name} has "\\w*NOPE"`)),
      );
    }
    for (const value of ["", ":"]) assert.throws(() => new TlsContext({ [name]: value }), RangeError);
    for (const value of [5, null, ["HIGH"], Buffer.from("HIGH")]) {
      assert.throws(
        () => new TlsContext({ [name]: value }),
        (error) => check(error, TypeError, /required a string/),
      );
    }
  }
});

test("every other option of a context is refused when it is none or has no meaning", () => {
  const wrong: readonly [object, RegExp][] = [
    [{ minVersion: "TLSv1.1" }, /minVersion/],
    [{ maxVersion: null }, /maxVersion/],
    [{ minVersion: "TLSv1.3", maxVersion: "TLSv1.2" }, /required at most maxVersion/],
    [{ alpnProtocols: [] }, /alpnProtocols/],
    [{ alpnProtocols: "h2" }, /alpnProtocols/],
    [{ rejectUnauthorized: 0 }, /rejectUnauthorized/],
    [{ requestCert: "yes" }, /requestCert/],
    [{ sessionTimeout: 0 }, /sessionTimeout/],
    [{ sessionTimeout: null }, /sessionTimeout/],
    [{ sessionTimeout: 2 ** 31 }, /sessionTimeout/],
    [{ sniCallback: null }, /sniCallback/],
    [{ passphrase: "for nothing" }, /passphrase is set without key and pfx, required/],
    [{ cA: "" }, /option "cA" is unknown/],
    [{ secureContext: {} }, /option "secureContext" is unknown/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(
      () => new TlsContext(options),
      (error) => (error instanceof TypeError || error instanceof RangeError) && message.test(error.message),
    );
  }
});
