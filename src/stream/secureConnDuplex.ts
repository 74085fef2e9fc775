// The Duplex over a Conn with TLS: a ConnDuplex with the members of a tls.TLSSocket.

import type { X509Certificate } from "node:crypto";
import type { CipherNameAndProtocol, PeerCertificate } from "node:tls";
import type { Conn, SecuredConn } from "../io.js";
import { ConnDuplex, type ToDuplexOptions } from "./connDuplex.js";

/** The `Duplex` over a connection with TLS. It has the members of a `tls.TLSSocket` that describe TLS. */
export class SecureConnDuplex extends ConnDuplex {
  override readonly encrypted = true;
  readonly #secured: SecuredConn;

  /** @internal Made by {@link toDuplex}. */
  constructor(conn: Conn, secured: SecuredConn, opts: ToDuplexOptions) {
    super(conn, opts);
    this.#secured = secured;
  }

  /** Whether the peer has sent a certificate that is valid. */
  get authorized(): boolean {
    return this.#secured.authorized;
  }

  /** The error code of the verification, when `authorized` is false; otherwise null. */
  get authorizationError(): string | null {
    return this.#secured.authorizationError ?? null;
  }

  /** The ALPN protocol; false if none was agreed on. */
  get alpnProtocol(): string | false {
    return this.#secured.alpnProtocol ?? false;
  }

  /** On a client the name to verify, on a server the name that the client has sent; false if there is none. */
  get servername(): string | false {
    return this.#secured.servername ?? false;
  }

  getProtocol(): string {
    return this.#secured.protocol;
  }

  getCipher(): CipherNameAndProtocol {
    return this.#secured.cipher;
  }

  isSessionReused(): boolean {
    return this.#secured.sessionReused;
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    return this.#secured.peerCertificate;
  }

  /**
   * The peer's certificate as an object. The object is empty if the peer has sent no certificate.
   *
   * @param detailed whether each certificate gets `issuerCertificate`; the last known issuer refers to itself
   */
  getPeerCertificate(detailed: boolean = false): PeerCertificate {
    const certificate = this.#secured.peerCertificate;
    if (certificate === undefined) return {} as PeerCertificate;
    const leaf = certificate.toLegacyObject();
    if (!detailed) return leaf;
    // The end of the chain so far.
    let last = leaf as PeerCertificate & { issuerCertificate?: PeerCertificate };
    for (let issuer = certificate.issuerCertificate; issuer !== undefined; issuer = issuer.issuerCertificate) {
      const next = issuer.toLegacyObject();
      // A self-signed certificate is its own issuer.
      if (next.fingerprint256 === last.fingerprint256) break;
      last.issuerCertificate = next;
      last = next;
    }
    last.issuerCertificate = last;
    return leaf;
  }

  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Buffer {
    return this.#secured.exportKeyingMaterial(length, label, context);
  }
}
