// Parses PEM strictly: returns all blocks of a text, or the reason why the text is wrong.
//
// OpenSSL reads the blocks of one kind and silently ignores everything else, even if no block is left. With an empty or
// truncated `ca`, a context would then trust the default certificates. So this parser splits the text into blocks, and
// refuses a block whose first or last line is missing. Other text between the blocks is a comment.

import type { Pem } from "./tlsOptions.js";

/** One block: RFC 7468. */
export interface PemBlock {
  /** The name in the first line, such as `"CERTIFICATE"`. */
  readonly label: string;
  /** The block in PEM, without the text around it. */
  readonly text: string;
  /** The decoded base64: DER, except in an encrypted key of the old format. */
  readonly bytes: Buffer;
}

/** The reason why a text is wrong, with OpenSSL's code. */
export interface PemFault {
  readonly code: string;
  readonly reason: string;
}

const BEGIN = /^-----BEGIN ([^-]+)-----$/;
const END = /^-----END ([^-]+)-----$/;
/** A damaged first or last line of a block: dashes are missing, or other text is on the line. */
const DAMAGED_BOUNDARY = /-{2,} ?(?:BEGIN|END)\b|\b(?:BEGIN|END) [A-Z0-9. ]+-{2,}/;
/** A full line of base64. If it is outside a block, the BEGIN line is missing. */
const FULL_BASE64_LINE = /^[A-Za-z0-9+/]{60,}={0,2}$/;
/** A field such as `DEK-Info: …`, with which an encrypted key of the old format begins: RFC 1421. */
const HEADER_FIELD = /^[A-Za-z0-9-]+:/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** Returns the blocks of a text in order, or the fault of the text. */
export function pemBlocks(pem: Pem): readonly PemBlock[] | PemFault {
  const text = typeof pem === "string" ? pem : Buffer.from(pem).toString("latin1");
  const blocks: PemBlock[] = [];
  let label: string | undefined;
  let body: string[] = [];
  for (const [index, untrimmed] of text.split("\n").entries()) {
    const line = untrimmed.trimEnd();
    const place = `line ${index + 1}`;
    const begin = BEGIN.exec(line)?.[1];
    const end = END.exec(line)?.[1];
    if (label === undefined) {
      // Outside a block: the line is a first line, a part of a damaged block, or a comment.
      const isPartOfBlock = end !== undefined || DAMAGED_BOUNDARY.test(line) || FULL_BASE64_LINE.test(line);
      if (begin !== undefined) {
        label = begin;
        body = [];
      } else if (isPartOfBlock && !line.startsWith("#")) {
        return {
          code: "ERR_OSSL_PEM_NO_START_LINE",
          reason: `${place} belongs to a block whose first line is missing`,
        };
      }
    } else if (end === label) {
      const bytes = decodeBase64(body);
      if (bytes === undefined) {
        return { code: "ERR_OSSL_PEM_BAD_BASE64_DECODE", reason: `the ${label} that ends in ${place} is no base64` };
      }
      blocks.push({
        label,
        text: [`-----BEGIN ${label}-----`, ...body, `-----END ${label}-----`, ""].join("\n"),
        bytes,
      });
      label = undefined;
    } else if (begin !== undefined || end !== undefined || DAMAGED_BOUNDARY.test(line)) {
      return { code: "ERR_OSSL_PEM_BAD_END_LINE", reason: `the ${label} before ${place} has no last line` };
    } else body.push(line);
  }
  if (label !== undefined) return { code: "ERR_OSSL_PEM_BAD_END_LINE", reason: `the last ${label} is cut off` };
  return blocks;
}

/** The bytes of a block; undefined if its lines are not base64. */
function decodeBase64(lines: readonly string[]): Buffer | undefined {
  // In an encrypted key of the old format, fields and an empty line come before the base64.
  const emptyLine = lines.findIndex((line) => line === "");
  const hasFields = emptyLine >= 0 && HEADER_FIELD.test(lines[0] as string);
  const base64 = (hasFields ? lines.slice(emptyLine + 1) : lines).join("");
  if (base64.length % 4 !== 0 || !BASE64.test(base64)) return undefined;
  return Buffer.from(base64, "base64");
}

/** The tag of a value in DER, and the indices between which its content is. The bytes may end before `end`. */
export interface DerHeader {
  readonly tag: number;
  readonly start: number;
  readonly end: number;
}

/**
 * Reads the tag and the length at the beginning of `bytes`: X.690, section 8.1. Undefined if they are truncated, if the
 * length is indefinite, or if it is encoded in more than four bytes.
 */
export function derHeader(bytes: Buffer): DerHeader | undefined {
  const [tag, first] = bytes;
  if (tag === undefined || first === undefined) return undefined;
  // 0x80, the indefinite length, is not DER; isSingleDerValue() accepts it without a call of this function.
  if (first === 0x80) return undefined;
  // From 0x81 on, the low seven bits are the number of the bytes that follow and encode the length.
  const lengthBytes = first < 0x80 ? 0 : first - 0x80;
  const start = 2 + lengthBytes;
  if (lengthBytes > 4 || start > bytes.length) return undefined;
  return { tag, start, end: start + (lengthBytes === 0 ? first : bytes.readUIntBE(2, lengthBytes)) };
}

/**
 * Whether `bytes` are exactly one value in DER. The indefinite length (0x80), which old programs write in PKCS #12, is
 * accepted without a check.
 */
export function isSingleDerValue(bytes: Buffer): boolean {
  return bytes[1] === 0x80 || derHeader(bytes)?.end === bytes.length;
}
