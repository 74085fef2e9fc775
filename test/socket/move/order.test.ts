// sendfile() keeps its place: bytes that are sent after it arrive after the whole file.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connected, pattern, receiveAll } from "../../support/families.js";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-order-"));
after(() => rmSync(folder, { recursive: true }));
const content = pattern(5_000_003);
const path = join(folder, "file");
writeFileSync(path, content);

for (const [name, onProgress] of [
  ["with onProgress", () => undefined],
  ["without", undefined],
] as const) {
  test(`bytes that are sent during a sendfile arrive after the file, ${name}`, async () => {
    await using pair = await connected();
    await using source = await open(path);
    const received = receiveAll(pair.conn);
    const file = pair.client.sendfile(source, { onProgress });
    const tail = pair.client.sendAll("the tail");
    assert.equal(await file, content.length);
    await tail;
    pair.client.close();
    assert.ok((await received).equals(Buffer.concat([content, Buffer.from("the tail")])));
  });
}
