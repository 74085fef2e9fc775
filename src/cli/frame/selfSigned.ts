// Makes a self-signed certificate (RFC 5280) and its key, for a TLS server without --cert. ncat does the same. A client
// can't verify this certificate. So the client needs --insecure, or compares the fingerprint.

import { generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";

/** A day in ms. */
const DAY = 86_400_000;
const VALID_DAYS = 365;

/** A value in DER (X.690): tag, length, content. */
function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  return Buffer.concat([Buffer.of(tag, ...lengthBytes(body.length)), body]);
}

/**
 * Encodes the length of a content below 64 KiB. A length below 0x80 is one byte. Before a larger one comes a byte with
 * the value 0x80 plus the number of bytes of the length.
 */
function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
}

const sequence = (...content: readonly Uint8Array[]): Buffer => der(0x30, ...content);
const integer = (bytes: Uint8Array): Buffer => der(0x02, bytes);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));
/** A BIT STRING without unused bits at its end. */
const bits = (bytes: Uint8Array): Buffer => der(0x03, Buffer.of(0), bytes);

const ECDSA_WITH_SHA256 = sequence(oid("2a8648ce3d040302"));
const COMMON_NAME = oid("550403");
const SUBJECT_ALT_NAME = oid("551d11");

/** A time in the form of UTCTime, such as 261128201207Z. RFC 5280 requires this form for years before 2050. */
function utcTime(date: Date): Buffer {
  const digits = date.toISOString().replace(/\D/g, "").slice(2, 14);
  return der(0x17, Buffer.from(`${digits}Z`));
}

export interface SelfSigned {
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the certificate, as `AB:CD:…`. */
  readonly fingerprint: string;
}

/**
 * Makes a key (P-256) and a certificate for localhost and its addresses. The certificate is valid from a day ago,
 * because the clock of a client may be behind.
 *
 * DER tags: 0x31 is a SET, 0x0c a UTF8String, 0x04 an OCTET STRING, 0x82 a dNSName, 0x87 an iPAddress, 0xa0 the
 * version, 0xa3 the extensions.
 */
export function selfSigned(now: Date = new Date()): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const name = sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from("localhost")))));
  const serial = randomBytes(16);
  // The serial number must be positive, and DER allows no unnecessary zero byte at its start.
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  const alternativeNames = sequence(
    der(0x82, Buffer.from("localhost")),
    der(0x87, Buffer.from([127, 0, 0, 1])),
    der(0x87, Buffer.concat([Buffer.alloc(15), Buffer.of(1)])),
  );
  const toBeSigned = sequence(
    // The number 2 stands for version 3.
    der(0xa0, integer(Buffer.of(2))),
    integer(serial),
    ECDSA_WITH_SHA256,
    // The issuer is this name too, because the certificate is self-signed.
    name,
    sequence(utcTime(new Date(now.getTime() - DAY)), utcTime(new Date(now.getTime() + VALID_DAYS * DAY))),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(sequence(SUBJECT_ALT_NAME, der(0x04, alternativeNames)))),
  );
  const certificate = sequence(toBeSigned, ECDSA_WITH_SHA256, bits(sign("sha256", toBeSigned, privateKey)));
  const parsed = new X509Certificate(certificate);
  return {
    cert: parsed.toString(),
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    fingerprint: parsed.fingerprint256,
  };
}
