// PEM, read strictly: every block of a text, or why the text can't be read.
//
// OpenSSL takes the blocks of the kind that it looks for and passes over everything else, without a word where nothing is left:
// a `ca` that is empty or cut off trusts other certificates than its owner meant. So the text is cut into blocks here, whatever is
// no comment has to belong to one, and OpenSSL is given the blocks that were checked, one by one.

import type { Pem } from "./tlsOptions.js";

/** One block: RFC 7468. */
export interface PemBlock {
  /** `"CERTIFICATE"` */
  readonly label: string;
  /** The block in PEM again, without what was around it. */
  readonly text: string;
  /** What its base64 says; of an encrypted key in the old form that is no DER. */
  readonly bytes: Buffer;
}

/** Why a text can't be read, with OpenSSL's code for it. */
export interface PemFault {
  readonly code: string;
  readonly reason: string;
}

const BEGIN = /^-----BEGIN ([^-]+)-----$/;
const END = /^-----END ([^-]+)-----$/;
/** Looks like the first or last line of a block, and is none: dashes are missing, or what is around it is no line end. */
const ALMOST = /-{2,} ?(?:BEGIN|END)\b|\b(?:BEGIN|END) [A-Z0-9. ]+-{2,}/;
/** A full line of base64. Outside a block its block has lost its beginning. */
const STRAY = /^[A-Za-z0-9+/]{60,}={0,2}$/;
/** A field such as `DEK-Info: …`, which an encrypted key in the old form begins with: RFC 1421. */
const FIELD = /^[A-Za-z0-9-]+:/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** The blocks of a text in their order, or what is wrong with it. */
export function pemBlocks(pem: Pem): readonly PemBlock[] | PemFault {
  const text = typeof pem === "string" ? pem : Buffer.from(pem).toString("latin1");
  const blocks: PemBlock[] = [];
  let label: string | undefined;
  let body: string[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trimEnd();
    const place = `line ${index + 1}`;
    const begin = BEGIN.exec(line)?.[1];
    const end = END.exec(line)?.[1];
    if (label === undefined) {
      if (begin !== undefined) {
        label = begin;
        body = [];
      } else if (!line.startsWith("#") && (end !== undefined || ALMOST.test(line) || STRAY.test(line))) {
        return {
          code: "ERR_OSSL_PEM_NO_START_LINE",
          reason: `${place} belongs to a block whose first line is missing`,
        };
      }
    } else if (end === label) {
      const bytes = decode(body);
      if (bytes === undefined) {
        return { code: "ERR_OSSL_PEM_BAD_BASE64_DECODE", reason: `the ${label} that ends in ${place} is no base64` };
      }
      blocks.push({
        label,
        text: [`-----BEGIN ${label}-----`, ...body, `-----END ${label}-----`, ""].join("\n"),
        bytes,
      });
      label = undefined;
    } else if (begin !== undefined || end !== undefined || ALMOST.test(line)) {
      return { code: "ERR_OSSL_PEM_BAD_END_LINE", reason: `the ${label} before ${place} has no last line` };
    } else body.push(line);
  }
  if (label !== undefined) return { code: "ERR_OSSL_PEM_BAD_END_LINE", reason: `the last ${label} is cut off` };
  return blocks;
}

/** The bytes of a block; undefined where its lines are no base64. */
function decode(lines: readonly string[]): Buffer | undefined {
  const fields = lines.findIndex((line) => line === "");
  const headed = fields >= 0 && FIELD.test(lines[0] as string);
  const base64 = (headed ? lines.slice(fields + 1) : lines).join("");
  if (base64.length % 4 !== 0 || !BASE64.test(base64)) return undefined;
  return Buffer.from(base64, "base64");
}

/**
 * Whether `bytes` are one value in DER, no more and no less: X.690, section 8.1.3. A length that is not given in advance, as old
 * writers of PKCS #12 leave it, is taken on trust.
 */
export function isOneValue(bytes: Uint8Array): boolean {
  if (bytes.length < 2) return false;
  const first = bytes[1] as number;
  if (first < 0x80) return bytes.length === 2 + first;
  if (first === 0x80) return true;
  const size = first - 0x80;
  if (size > 4 || bytes.length < 2 + size) return false;
  let length = 0;
  for (let index = 0; index < size; index++) length = length * 256 + (bytes[2 + index] as number);
  return bytes.length === 2 + size + length;
}
