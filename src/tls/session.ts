// Sessions as users keep them: OpenSSL's, together with the server's certificate.
//
// Node checks no name when a session is resumed, and then does not know the certificate any more. So a session that was
// mixed up, or kept for longer than its certificate is good, would make one server be taken for another. With the
// certificate at hand it is checked again before the session is offered, as Go does, and `peerCertificate` stays known.

import type { X509Certificate } from "node:crypto";
import { crypto } from "../builtins.js";

/** In front of each: what it is, and the version of its form. */
const MARK = Buffer.from("berkeley-tls\x02");
/** Behind it the lengths of both parts: Node takes a session that is cut off for none, without a word. */
const HEAD = MARK.length + 8;

/** A session and whose it is. */
export interface Session {
  readonly certificate: X509Certificate;
  /** As OpenSSL has it. */
  readonly ticket: Buffer;
}

/** One run of bytes for both. */
export function packSession(certificate: X509Certificate, ticket: Uint8Array): Buffer {
  const der = certificate.raw;
  const sizes = Buffer.alloc(8);
  sizes.writeUInt32BE(der.length);
  sizes.writeUInt32BE(ticket.length, 4);
  return Buffer.concat([MARK, sizes, der, ticket]);
}

/** The parts of what `packSession` made; undefined for anything else. */
export function unpackSession(bytes: Uint8Array): Session | undefined {
  const packed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (packed.length < HEAD || !packed.subarray(0, MARK.length).equals(MARK)) return undefined;
  const end = HEAD + packed.readUInt32BE(MARK.length);
  if (end >= packed.length || end + packed.readUInt32BE(MARK.length + 4) !== packed.length) return undefined;
  try {
    return { certificate: new (crypto().X509Certificate)(packed.subarray(HEAD, end)), ticket: packed.subarray(end) };
  } catch {
    return undefined;
  }
}

/** Whether a certificate is good at this time. */
export function isCurrent(certificate: X509Certificate, now: number = Date.now()): boolean {
  return Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo);
}
