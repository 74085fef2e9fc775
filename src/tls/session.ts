// The format of `session`: a session of OpenSSL, together with the server's certificate.
//
// When Node resumes a session, Node checks neither the name nor the validity of the certificate, and can't return the
// certificate. So the client would trust a session of another server, or an expired certificate. The certificate is
// stored with the session for two reasons: the client checks the certificate before it offers the session, as Go does;
// and `peerCertificate` returns the stored certificate.

import type { X509Certificate } from "node:crypto";
import { crypto } from "../builtins.js";

/** The first bytes of a packed session: a name and the version of the format. */
const MAGIC = Buffer.from("berkeley-tls\x02");
/**
 * The size of the magic bytes and of the lengths of both parts. With the lengths, `unpackSession()` detects a truncated
 * session, which Node would ignore silently.
 */
const HEADER_SIZE = MAGIC.length + 8;

/** A session and the certificate of its server. */
export interface Session {
  readonly certificate: X509Certificate;
  /** The session in the format of OpenSSL. */
  readonly ticket: Buffer;
}

/** Packs the parts of a session into one Buffer. */
export function packSession(certificate: X509Certificate, ticket: Uint8Array): Buffer {
  const der = certificate.raw;
  const sizes = Buffer.alloc(8);
  sizes.writeUInt32BE(der.length);
  sizes.writeUInt32BE(ticket.length, 4);
  return Buffer.concat([MAGIC, sizes, der, ticket]);
}

/** Unpacks a result of `packSession()`; undefined for other bytes. */
export function unpackSession(bytes: Uint8Array): Session | undefined {
  const packed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (packed.length < HEADER_SIZE || !packed.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const certificateEnd = HEADER_SIZE + packed.readUInt32BE(MAGIC.length);
  const ticketSize = packed.readUInt32BE(MAGIC.length + 4);
  if (ticketSize === 0 || certificateEnd + ticketSize !== packed.length) return undefined;
  try {
    return {
      certificate: new (crypto().X509Certificate)(packed.subarray(HEADER_SIZE, certificateEnd)),
      ticket: packed.subarray(certificateEnd),
    };
  } catch {
    return undefined;
  }
}

/** Whether a certificate is valid at this time. */
export function isCurrent(certificate: X509Certificate, now: number = Date.now()): boolean {
  return Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo);
}
