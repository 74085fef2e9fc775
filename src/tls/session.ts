// Sessions as users keep them: OpenSSL's, together with the server's certificate.
//
// Node checks no name when a session is resumed, and then does not know the certificate any more. So a session that was
// mixed up, or kept for longer than its certificate is good, would make one server be taken for another. With the
// certificate at hand it is checked again before the session is offered, as Go does, and `peerCertificate` stays known.

import { X509Certificate } from "node:crypto";

/** In front of each: what it is, and the version of its form. */
const MARK = Buffer.from("berkeley-tls\x01");
const HEAD = MARK.length + 4;

/** A session and whose it is. */
export interface Session {
  readonly certificate: X509Certificate;
  /** As OpenSSL has it. */
  readonly ticket: Buffer;
}

/** One run of bytes for both. */
export function packSession(certificate: X509Certificate, ticket: Uint8Array): Buffer {
  const der = certificate.raw;
  const size = Buffer.alloc(4);
  size.writeUInt32BE(der.length);
  return Buffer.concat([MARK, size, der, ticket]);
}

/** The parts of what `packSession` made; undefined for anything else. */
export function unpackSession(bytes: Uint8Array): Session | undefined {
  const packed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (packed.length < HEAD || !packed.subarray(0, MARK.length).equals(MARK)) return undefined;
  const end = HEAD + packed.readUInt32BE(MARK.length);
  if (end >= packed.length) return undefined;
  try {
    return { certificate: new X509Certificate(packed.subarray(HEAD, end)), ticket: packed.subarray(end) };
  } catch {
    return undefined;
  }
}

/** Whether a certificate is good at this time. */
export function isCurrent(certificate: X509Certificate, now: number = Date.now()): boolean {
  return Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo);
}
