// CRC-32C (Castagnoli) of RFC 3309: the checksum that a header of the PROXY protocol, version 2, may have.

/** The polynomial with its bits reversed, because the least significant bit comes first. */
const POLYNOMIAL = 0x82f6_3b78;
/** Made by the first call of crc32c(). */
let table: Uint32Array | undefined;

/** Makes the table with the CRC of each value of a byte. */
function makeTable(): Uint32Array {
  const newTable = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    newTable[byte] = crc;
  }
  return newTable;
}

/** The CRC-32C of `bytes`, as an unsigned number. */
export function crc32c(bytes: Uint8Array): number {
  table ??= makeTable();
  let crc = 0xffff_ffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffff_ffff) >>> 0;
}
