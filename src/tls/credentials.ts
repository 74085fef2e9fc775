// Reads and checks keys, certificates and revocation lists before OpenSSL gets them.
//
// Node and OpenSSL silently ignore some parts of their input:
// - in a bundle, all certificates from the first damaged one on;
// - in a file with several revocation lists, all lists but the first;
// - damaged Diffie-Hellman parameters.
// The context would then be less strict than its options. So this file refuses damaged input, with OpenSSL's error code
// if OpenSSL has one, and passes each revocation list separately. To check a value, this file makes a context from the
// value and drops this context. `ca: []` saves loading the default certificates.

import type { KeyObject, X509Certificate } from "node:crypto";
import { isUint8Array } from "node:util/types";
import { crypto, tls } from "../builtins.js";
import { quote, quoteSecret } from "../check/index.js";
import { TlsError } from "../errors/index.js";
import type { Pem, TlsContextOptions } from "./tlsOptions.js";
import { derHeader, isSingleDerValue, type PemBlock, pemBlocks } from "./pem.js";

/** The credentials and trusted certificates of a context, as Node takes them. */
export interface NodeCredentials {
  key?: string[];
  cert?: string[];
  passphrase?: string;
  pfx?: Buffer;
  ca?: string[];
  crl?: string[];
  dhparam?: string;
}

/** The code for credentials that can't be used, if OpenSSL has no code for the reason. */
export const ERR_TLS_CONTEXT = "ERR_TLS_CONTEXT";

type BlockKind =
  | "certificate"
  | "private key"
  | "list of revoked certificates"
  | "set of DH parameters"
  | "set of EC parameters";

const KIND_OF_LABEL: Readonly<Record<string, BlockKind>> = {
  CERTIFICATE: "certificate",
  "X509 CERTIFICATE": "certificate",
  "TRUSTED CERTIFICATE": "certificate",
  "X509 CRL": "list of revoked certificates",
  "DH PARAMETERS": "set of DH parameters",
  "X9.42 DH PARAMETERS": "set of DH parameters",
  "EC PARAMETERS": "set of EC parameters",
};

/** Blocks that a file of certificates may also contain, because many files also have the key. */
const OFTEN_WITH_CERTIFICATE: readonly BlockKind[] = ["private key", "set of EC parameters"];

/** Minimum size of a Diffie-Hellman prime in bits; Node refuses shorter ones. */
const MIN_PRIME_BITS = 1024;
/** The number of Miller-Rabin rounds that check a prime. */
const PRIME_CHECKS = 16;

function blockKind({ label }: PemBlock): BlockKind | undefined {
  return /(?:^| )PRIVATE KEY$/.test(label) ? "private key" : KIND_OF_LABEL[label];
}

/** The code and the reason in an error of Node. */
export function codeAndReason(error: unknown): { readonly code: string; readonly reason: string } {
  const { code, message, reason } = error as { code?: unknown; message: string; reason?: unknown };
  return {
    code: typeof code === "string" ? code : ERR_TLS_CONTEXT,
    reason: typeof reason === "string" ? reason : message,
  };
}

/** Calls `run`. Converts an error of OpenSSL into a TlsError whose message has the `name` of the option. */
function tryOpenssl<T>(action: string, name: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    const { code, reason } = codeAndReason(error);
    throw new TlsError(code, `Cannot ${action}`, `${name} can't be used: ${reason}`, { cause: error });
  }
}

function isPem(value: unknown): value is Pem {
  return typeof value === "string" || isUint8Array(value);
}

/** The elements of an option that is PEM or an array of PEM, each with its name for messages. */
function pemPartsOf(value: unknown, action: string, name: string): { readonly name: string; readonly pem: Pem }[] {
  const required = "required PEM as a string or a Uint8Array";
  if (isPem(value)) return [{ name, pem: value }];
  if (!Array.isArray(value))
    throw new TypeError(`Cannot ${action}: ${name} is ${quoteSecret(value)}, ${required}, or an array`);
  if (value.length === 0) throw new TypeError(`Cannot ${action}: ${name} is an empty array, ${required}`);
  return value.map((part: unknown, index) => {
    if (isPem(part)) return { name: `${name}[${index}]`, pem: part };
    throw new TypeError(`Cannot ${action}: ${name}[${index}] is ${quoteSecret(part)}, ${required}`);
  });
}

/**
 * Returns the blocks of the kind `wanted`. Blocks of the kinds in `skipped` are left out. Other blocks are an error, so
 * that no input is ignored silently.
 */
function blocksOf(
  pem: Pem,
  wanted: BlockKind,
  skipped: readonly BlockKind[],
  action: string,
  name: string,
): PemBlock[] {
  const refusal = (code: string, reason: string): TlsError =>
    new TlsError(code, `Cannot ${action}`, `${name}: ${reason}`);
  const all = pemBlocks(pem);
  if ("code" in all) throw refusal(all.code, all.reason);
  for (const block of all) {
    const kind = blockKind(block);
    if (kind === wanted || (kind !== undefined && skipped.includes(kind))) continue;
    throw refusal(ERR_TLS_CONTEXT, `it has a block ${quote(block.label)}, required only a ${wanted}`);
  }
  const found = all.filter((block) => blockKind(block) === wanted);
  if (found.length > 0) return found;
  throw refusal("ERR_OSSL_PEM_NO_START_LINE", `there is no ${wanted} in it`);
}

/** Reads one certificate, and checks that its public key can be read. */
function readCertificate(block: PemBlock, action: string, name: string): X509Certificate {
  const certificate = tryOpenssl(action, name, () => new (crypto().X509Certificate)(block.text));
  try {
    // The getter throws if the key can't be read.
    void certificate.publicKey;
  } catch (error) {
    const { code } = codeAndReason(error);
    // If this OpenSSL does not support the type of the key, the certificate is not damaged.
    if (!/UNSUPPORTED|UNKNOWN/.test(code)) {
      throw new TlsError(code, `Cannot ${action}`, `${name} can't be used: its key can't be read`, { cause: error });
    }
  }
  return certificate;
}

/** Reads all certificates of a PEM, and skips a key. Returns the certificates as objects and as texts. */
function readCertificates(
  pem: Pem,
  action: string,
  name: string,
): { readonly certificates: X509Certificate[]; readonly texts: string[] } {
  const blocks = blocksOf(pem, "certificate", OFTEN_WITH_CERTIFICATE, action, name);
  const nameOf = (index: number): string =>
    blocks.length === 1 ? name : `${name}, certificate ${index + 1} of ${blocks.length},`;
  return {
    certificates: blocks.map((block, index) => readCertificate(block, action, nameOf(index))),
    texts: blocks.map(({ text }) => text),
  };
}

/** A chain of certificates: its name for messages, and its first certificate. */
interface NamedChain {
  readonly name: string;
  readonly leaf: X509Certificate;
}

/**
 * Checks that keys and certificates match. OpenSSL keeps only one certificate for each type of key, so this function
 * refuses a second one.
 */
function checkPairs(
  chains: readonly NamedChain[],
  keys: readonly { name: string; key: KeyObject }[],
  action: string,
): void {
  const refusal = (code: string, reason: string): TlsError => new TlsError(code, `Cannot ${action}`, reason);
  const mismatchCode = "ERR_OSSL_X509_KEY_VALUES_MISMATCH";
  for (const { name, leaf } of chains) {
    if (!keys.some(({ key }) => leaf.checkPrivateKey(key)))
      throw refusal(mismatchCode, `${name} fits no key that was given`);
  }
  for (const { name, key } of keys) {
    if (!chains.some(({ leaf }) => leaf.checkPrivateKey(key))) {
      throw refusal(mismatchCode, `${name} fits no certificate that was given`);
    }
  }
  const namesByType = new Map<string | undefined, string>();
  for (const { name, leaf } of chains) {
    const type = leaf.publicKey.asymmetricKeyType;
    const earlier = namesByType.get(type);
    if (earlier !== undefined)
      throw refusal(ERR_TLS_CONTEXT, `${name} would replace ${earlier}: both have a key of type ${type}`);
    namesByType.set(type, name);
  }
}

/** Reads `cert` and `key`, and checks that they match. */
function readPairs(options: TlsContextOptions, action: string): { cert: string[]; key: string[] } {
  const { cert, key, passphrase } = options;
  const chains = (cert === undefined ? [] : pemPartsOf(cert, action, "cert")).map(({ name, pem }) => {
    const { certificates, texts } = readCertificates(pem, action, name);
    return { name, leaf: certificates[0] as X509Certificate, text: texts.join("") };
  });
  const keys = (key === undefined ? [] : pemPartsOf(key, action, "key")).map(({ name, pem }) => {
    const blocks = blocksOf(pem, "private key", ["certificate", "set of EC parameters"], action, name);
    if (blocks.length > 1) {
      const reason = `${name} holds ${blocks.length} private keys, required one`;
      throw new TlsError(ERR_TLS_CONTEXT, `Cannot ${action}`, reason);
    }
    const { text } = blocks[0] as PemBlock;
    const keyObject = tryOpenssl(action, name, () =>
      crypto().createPrivateKey({ key: text, format: "pem", ...passphraseOption(passphrase) }),
    );
    return { name, key: keyObject, text };
  });
  if ((key === undefined) !== (cert === undefined)) {
    const [given, missing] = key === undefined ? ["cert", "key"] : ["key", "cert"];
    throw new TypeError(`Cannot ${action}: ${given} was given without ${missing}, required both`);
  }
  checkPairs(chains, keys, action);
  return { cert: chains.map(({ text }) => text), key: keys.map(({ text }) => text) };
}

/** The option `passphrase` for Node; no option if it is undefined. */
function passphraseOption(passphrase: string | undefined): { passphrase?: string } {
  return passphrase === undefined ? {} : { passphrase };
}

function readPfx(value: unknown, passphrase: string | undefined, action: string): Buffer {
  if (!isUint8Array(value)) {
    throw new TypeError(`Cannot ${action}: pfx is ${quoteSecret(value)}, required the bytes of a PKCS #12 file`);
  }
  const pfx = Buffer.from(value);
  if (!isSingleDerValue(pfx)) {
    throw new TlsError(ERR_TLS_CONTEXT, `Cannot ${action}`, "pfx is empty, cut off, or more than one PKCS #12 file");
  }
  tryOpenssl(action, "pfx", () => tls().createSecureContext({ ca: [], pfx, ...passphraseOption(passphrase) }));
  return pfx;
}

function readRevocationLists(value: unknown, action: string): string[] {
  return pemPartsOf(value, action, "crl").flatMap(({ name, pem }) =>
    blocksOf(pem, "list of revoked certificates", [], action, name).map(({ text, bytes }) => {
      if (!isSingleDerValue(bytes)) {
        const reason = `${name} can't be used: it is cut off, or there are bytes behind it`;
        throw new TlsError(ERR_TLS_CONTEXT, `Cannot ${action}`, reason);
      }
      tryOpenssl(action, name, () => tls().createSecureContext({ ca: [], crl: text }));
      return text;
    }),
  );
}

/** Reads and checks Diffie-Hellman parameters. Node ignores damaged ones, and checks only the size of a prime. */
function readDhparam(value: unknown, action: string): string {
  if (value === "auto") return value;
  if (!isPem(value)) {
    throw new TypeError(
      `Cannot ${action}: dhparam is ${quoteSecret(value)}, required "auto" or PEM as a string or a Uint8Array`,
    );
  }
  const blocks = blocksOf(value, "set of DH parameters", [], action, "dhparam");
  const refusal = (reason: string): TlsError =>
    new TlsError(ERR_TLS_CONTEXT, `Cannot ${action}`, `dhparam can't be used: ${reason}`);
  if (blocks.length > 1) throw refusal(`it holds ${blocks.length} sets of parameters, required one`);
  const { bytes, text } = blocks[0] as PemBlock;
  const prime = isSingleDerValue(bytes) ? firstInteger(bytes) : undefined;
  if (prime === undefined) throw refusal("it is not DER of DH parameters");
  const bits = prime.toString(2).length;
  if (bits < MIN_PRIME_BITS) throw refusal(`its prime has ${bits} bits, required at least ${MIN_PRIME_BITS}`);
  if (!crypto().checkPrimeSync(prime, { checks: PRIME_CHECKS })) throw refusal("its prime is not a prime number");
  tryOpenssl(action, "dhparam", () => tls().createSecureContext({ ca: [], dhparam: text }));
  return text;
}

/** The tags of two types in DER, an encoding of values as tag, length and content: X.690, section 8. */
const DER_SEQUENCE = 0x30;
const DER_INTEGER = 0x02;

/**
 * The first INTEGER of a SEQUENCE, which is the prime in RFC 2631 and in PKCS #3. Undefined if the bytes have another
 * form.
 */
function firstInteger(der: Buffer): bigint | undefined {
  const content = derContent(der, DER_SEQUENCE);
  const integer = content === undefined ? undefined : derContent(content, DER_INTEGER);
  return integer === undefined || integer.length === 0 ? undefined : BigInt(`0x${integer.toString("hex")}`);
}

/** The content of the first value of `der`; undefined if it has another tag or is truncated. */
function derContent(der: Buffer, tag: number): Buffer | undefined {
  const header = derHeader(der);
  return header?.tag === tag && header.end <= der.length ? der.subarray(header.start, header.end) : undefined;
}

/**
 * Reads and checks the credentials and parameters of a context.
 *
 * @throws TlsError for input that is empty, truncated, of the wrong kind or only partly readable
 * @throws TypeError for a value of the wrong type
 */
export function readCredentials(options: TlsContextOptions, action: string): NodeCredentials {
  const { key, cert, passphrase, pfx, ca, crl, dhparam } = options;
  if (passphrase !== undefined && typeof passphrase !== "string") {
    throw new TypeError(`Cannot ${action}: passphrase is ${quoteSecret(passphrase)}, required a string`);
  }
  if (pfx !== undefined && (key !== undefined || cert !== undefined)) {
    throw new TypeError(`Cannot ${action}: pfx is set together with key or cert, required either pfx, or key and cert`);
  }
  if (passphrase !== undefined && key === undefined && pfx === undefined) {
    throw new TypeError(`Cannot ${action}: passphrase is set without key and pfx, required a key or a pfx`);
  }
  const credentials: NodeCredentials = { ...passphraseOption(passphrase) };
  if (cert !== undefined || key !== undefined) Object.assign(credentials, readPairs(options, action));
  if (pfx !== undefined) credentials.pfx = readPfx(pfx, passphrase, action);
  if (ca !== undefined) {
    credentials.ca = pemPartsOf(ca, action, "ca").flatMap(({ name, pem }) => readCertificates(pem, action, name).texts);
  }
  if (crl !== undefined) credentials.crl = readRevocationLists(crl, action);
  if (dhparam !== undefined) credentials.dhparam = readDhparam(dhparam, action);
  return credentials;
}
