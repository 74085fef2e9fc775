// The page of the inspector in Chromium, on a server of the test: hostile text, ten thousand rows, ends of the
// connection.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { Browser } from "playwright-core";
import { checkLeaks } from "../support/leaks.js";
import { launch, noBrowser, openPage, rows, violations } from "./browser.js";
import { FakeInspector, pageFolder, row } from "./fakeInspector.js";

const skip = noBrowser;
let browser: Browser;

after(async () => browser?.close());
// After the hook above, which ends the browser.
checkLeaks();

before(async () => {
  if (skip === false) browser = await launch();
});

/** A call of the socket with this id. Its result is the bytes that it has moved. */
const call = (
  socket: string,
  sequence: number,
  name: string,
  changes: { readonly result?: number | null; readonly [field: string]: unknown } = {},
): object => ({
  sequence,
  socket,
  call: name,
  detail: "",
  start: Date.now() + sequence,
  duration: 5,
  result: 0,
  moved: /^(?:send|recv)/.test(name) ? { bytes: changes.result ?? 0, sent: name.startsWith("send") } : null,
  errno: null,
  wouldBlock: false,
  line: "/srv/app/server.ts:20:30",
  payload: null,
  ...changes,
});

const payload = (bytes: Buffer): object => ({ base64: bytes.toString("base64"), bytes: bytes.length });

test("the files of the page are at most 120 kB compressed, and name their licences", () => {
  const folder = fileURLToPath(pageFolder());
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const sizes = files.map(({ parentPath, name }) => gzipSync(readFileSync(`${parentPath}/${name}`)).length);
  assert.equal(files.length, 4);
  assert.ok(sizes.reduce((sum, size) => sum + size, 0) <= 120_000, sizes.join(", "));
  const script = readFileSync(new URL("assets/page.js", pageFolder()), "utf8");
  for (const name of ["preact", "uplot", "@tanstack/virtual-core"])
    assert.match(script, new RegExp(`^/\\*! ${name} \\d`, "m"));
  // Nothing comes from another host.
  const html = readFileSync(new URL("index.html", pageFolder()), "utf8");
  assert.doesNotMatch(html, /https?:|<script>|style=|\son\w+=/);
});

test("ten thousand rows scroll, with few of them in the document", { skip }, async (t) => {
  const fake = new FakeInspector();
  fake.rows = Array.from({ length: 10_000 }, (_, index) => row(index));
  const { page, problems } = await openPage(browser, await fake.listen());
  await page.getByText("10,000 sockets").waitFor();
  const most = 100;
  assert.ok((await rows(page).count()) < most);
  // In a screen at a time, as with the wheel: each time the rows of the place are there, without a gap.
  const longest = await page.evaluate<number>(`(async () => {
    const scroller = document.querySelector(".scroller");
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    let longest = 0;
    for (let at = 0; at < 60_000; at += 600) {
      const before = performance.now();
      scroller.scrollTop = at;
      await frame();
      await frame();
      longest = Math.max(longest, performance.now() - before);
      const box = scroller.getBoundingClientRect();
      const shown = document.elementFromPoint(box.left + 200, box.top + box.height / 2);
      if (shown?.closest('[role="row"].body') == null) throw new Error("no row at " + at);
    }
    return longest;
  })()`);
  t.diagnostic(`longest time of two frames while scrolling: ${Math.round(longest)} ms`);
  assert.ok((await rows(page).count()) < most);
  // The last row is one key away, and has the focus.
  await rows(page).first().focus();
  await page.keyboard.press("End");
  await page.locator('[aria-rowindex="10001"]:focus').waitFor();
  assert.equal(await page.locator('[aria-rowindex="10001"] .cell.fd').innerText(), "9999");
  // Updates come while the reader is there.
  fake.update([row(9_999, { state: "CLOSE_WAIT" })], ["0:5"]);
  await page.getByText("9,999 sockets").waitFor();
  await page.locator('[data-id="0:9999"]:focus', { hasText: "CLOSE_WAIT" }).waitFor();
  await page.getByRole("searchbox").fill("127.0.0.1:47777");
  await page.getByText("1 of 9,999 sockets").waitFor();
  assert.deepEqual(problems, []);
  await page.close();
  await fake.close();
});

test("no code from a peer runs, and control characters are visible", { skip }, async () => {
  const fake = new FakeInspector();
  const script = `<img src=x onerror="document.title='hacked'"><script>document.title="hacked"</script>`;
  const hostile = `${script}\u0000\u001b[31m\u202egpj.exe\u200b\u2028\ud800`;
  fake.title = hostile;
  const one = row(7, {
    family: "AF_UNIX",
    local: hostile,
    peer: hostile,
    line: `/srv/${hostile}.ts:1:1`,
    state: hostile,
    pending: [{ call: hostile, waited: 1, line: hostile }],
    findings: [{ kind: "leak", text: hostile }],
  });
  fake.rows = [one];
  const bytes = Buffer.concat([
    Buffer.from(`${script}\r\n\u001b]0;title\u0007\u202e\u0085`),
    Buffer.from([0xff, 0xc0, 0xaf, 0xed, 0xa0, 0x80, 0xf5, 0xe2, 0x82]),
  ]);
  fake.details.set(one.id, {
    socket: one,
    other: null,
    samples: [],
    calls: [
      call(one.id, 1, hostile, { detail: hostile, errno: hostile, result: null, line: hostile }),
      call(one.id, 2, "recv", { result: bytes.length, payload: payload(bytes) }),
    ],
    options: [{ name: hostile, value: hostile, initial: hostile }],
  });
  const url = await fake.listen();
  const { page, problems } = await openPage(browser, url);
  await rows(page).first().waitFor();
  const shown = await rows(page).first().innerText();
  assert.match(shown, /<script>document\.title="hacked"<\/script>\\x00\\x1b\[31m\\u\{202e\}gpj\.exe\\u\{200b\}/);
  await rows(page).first().click();
  await page.locator(".payload summary").click();
  const text = await page.locator(".payload-text").innerText();
  assert.equal(text, `${script}\\r\\n\n\\x1b]0;title\\x07\\u{202e}\\x85\\xff\\xc0\\xaf\\xed\\xa0\\x80\\xf5\\xe2\\x82`);
  const hex = await page.locator(".payload-hex").innerText();
  assert.match(hex, /^0000 {2}3c 69 6d 67 20 73 72 63 {2}<img src$/m);
  assert.equal(await page.locator("img, .app script").count(), 0);
  assert.doesNotMatch(await page.title(), /^hacked/);
  // No character of it is invisible or changes the direction of others.
  const everything = await page.evaluate<string>("document.body.textContent");
  assert.doesNotMatch(everything, /[\p{Cf}\p{Zl}\p{Zp}]|[^\P{Cc}\n]/u);
  assert.deepEqual(await violations(page), []);
  assert.deepEqual(problems, []);
  await page.close();
  await fake.close();
});

test(
  "the page says when the connection is lost and when the process has ended, and goes on afterwards",
  { skip },
  async () => {
    const fake = new FakeInspector();
    fake.rows = [row(3)];
    const { page } = await openPage(browser, await fake.listen());
    await page.getByText("1 socket", { exact: true }).waitFor();
    fake.dropStreams();
    await page.getByText("Connection lost.", { exact: true }).waitFor();
    await page.locator(".link.live").waitFor();
    fake.update([row(4)]);
    await page.getByText("2 sockets").waitFor();
    await fake.close();
    await page.getByText("The process does not answer.").waitFor();
    // What was seen last stays, with its time.
    await page.getByText(/What you see is from \d\d:\d\d:\d\d/).waitFor();
    assert.equal(await rows(page).count(), 2);
    assert.deepEqual(await violations(page), []);
    await page.close();
  },
);

test("the page says when its token is not accepted", { skip }, async () => {
  const fake = new FakeInspector();
  fake.refuses = true;
  const { page } = await openPage(browser, await fake.listen());
  await page.getByText("The process refuses this page.").waitFor();
  await page.getByText("There is no data").waitFor();
  await page.close();
  await fake.close();
});

test("an empty table, dropped records, and a removed socket are explained", { skip }, async () => {
  const fake = new FakeInspector();
  fake.dropped = 1204;
  const one = row(5);
  const calls = Array.from({ length: 450 }, (_, index) => call(one.id, index, "recv", { result: 10 }));
  fake.details.set(one.id, { socket: one, other: null, samples: [], calls, options: [] });
  const url = await fake.listen();
  const { page, problems } = await openPage(browser, url);
  await page.getByText("The process has no socket").waitFor();
  await page.getByText("1,204 records dropped").waitFor();
  fake.update([one]);
  await rows(page).first().click();
  await page.getByText("1,204 older records of all its sockets are gone").waitFor();
  await page.getByText("The first sample comes within a second").waitFor();
  assert.equal(await page.locator(".event").count(), 200);
  await page.getByRole("button", { name: "Show 250 earlier calls" }).click();
  assert.equal(await page.locator(".event").count(), 450);
  fake.update([], [one.id]);
  await page.getByText("This socket is closed.").waitFor();
  await page.evaluate("location.hash = '#/sockets/0:999'");
  await page.getByText("There is no such socket").waitFor();
  assert.deepEqual(
    problems.filter((problem) => !problem.includes("404")),
    [],
  );
  await page.close();
  await fake.close();
});

test("a socket that is removed and made again in one update is in the table", { skip }, async () => {
  const fake = new FakeInspector();
  fake.rows = [row(3), row(4)];
  const { page } = await openPage(browser, await fake.listen());
  await page.getByText("2 sockets", { exact: true }).waitFor();
  fake.update([row(3, { state: "CLOSE_WAIT" }), row(5)], ["0:3", "0:4"]);
  await page.locator('[data-id="0:5"]').waitFor();
  await page.locator('[data-id="0:3"]', { hasText: "CLOSE_WAIT" }).waitFor();
  assert.equal(await rows(page).count(), 2);
  await page.close();
  await fake.close();
});

test("the end of a direction is one arrow, and that of the call that made the kernel send it", { skip }, async () => {
  const fake = new FakeInspector();
  const one = row(1, { local: "127.0.0.1:40001", peer: "127.0.0.1:8888" });
  const other = row(2, { local: "127.0.0.1:8888", peer: "127.0.0.1:40001" });
  fake.rows = [one, other];
  type Changes = Parameters<typeof call>[3];
  const of = (socket: string, names: readonly (readonly [string, Changes?])[]): object[] =>
    names.map(([name, changes = {}], at) => call(socket, at * 2 + (socket === one.id ? 0 : 1), name, changes));
  const failed = { errno: "ENOTCONN", result: null, detail: "SHUT_WR" };
  const calls = [
    ...of(one.id, [
      ["connect"],
      ["shutdown", { detail: "SHUT_RD" }],
      ["shutdown", failed],
      ["shutdown", { detail: "SHUT_WR" }],
      ["close"],
    ]),
    ...of(other.id, [["accept"], ["send", { result: 3 }], ["send", { result: 4 }], ["recv"], ["recv"]]),
  ].toSorted((a, b) => (a as { sequence: number }).sequence - (b as { sequence: number }).sequence);
  fake.details.set(one.id, { socket: one, other, samples: [], calls, options: [] });
  // Without the calls of the other end.
  const alone = [call(other.id, 1, "recv", { result: 9 }), call(other.id, 2, "recv"), call(other.id, 3, "recv")];
  fake.details.set(other.id, { socket: other, other: one, samples: [], calls: alone, options: [] });
  const { page } = await openPage(browser, `${await fake.listen()}#/sockets/0:1`);
  await page.locator(".event").nth(9).waitFor();
  assert.deepEqual(await page.locator(".wire-label").allInnerTexts(), ["SYN", "3 B", "4 B", "FIN"]);
  assert.equal(await page.locator('.event[data-call="shutdown"]').nth(2).locator(".wire-label").innerText(), "FIN");
  await page.evaluate("location.hash = '#/sockets/0:2'");
  await page.locator(".event").nth(2).waitFor();
  await page.getByText("9 B", { exact: true }).waitFor();
  assert.deepEqual(await page.locator(".wire-label").allInnerTexts(), ["9 B", "FIN"]);
  await page.close();
  await fake.close();
});

test("a reduced motion is respected, and the theme can be chosen", { skip }, async () => {
  const fake = new FakeInspector();
  fake.rows = [row(3)];
  const { page } = await openPage(browser, await fake.listen(), { scheme: "dark" });
  await page.locator(".link.live").waitFor();
  const animation = (): Promise<string> =>
    page.evaluate<string>("getComputedStyle(document.querySelector('.link.live i')).animationName");
  assert.equal(await animation(), "pulse");
  await page.emulateMedia({ reducedMotion: "reduce" });
  assert.equal(await animation(), "none");
  const ground = (): Promise<string> =>
    page.evaluate<string>("getComputedStyle(document.documentElement).backgroundColor");
  assert.equal(await ground(), "rgb(18, 21, 27)");
  await page.getByRole("button", { name: "Theme: Auto" }).click();
  await page.getByRole("button", { name: "Theme: Light" }).waitFor();
  assert.equal(await ground(), "rgb(255, 255, 255)");
  await page.reload();
  await page.getByRole("button", { name: "Theme: Light" }).waitFor();
  assert.equal(await ground(), "rgb(255, 255, 255)");
  await page.close();
  await fake.close();
});
