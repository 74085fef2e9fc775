// Makes the pictures of the inspector in docs/images/, light and dark: table, socket page, diagram, tour.
//
//   node scripts/screenshots.mjs             writes docs/images/inspector-*.png
//   node scripts/screenshots.mjs --folder F  writes them into another folder
//
// The pictures show a real program: out/test/inspect/watched.js runs, and Chromium opens its page. So the pictures of
// two runs are different. If pngquant is installed, it makes the files smaller.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({ options: { folder: { type: "string" } } });
const folder = values.folder === undefined ? join(root, "docs", "images") : resolve(values.folder);
mkdirSync(folder, { recursive: true });

// The pictures show paths of files, so the program is copied to a folder with a plain name.
const app = mkdtempSync(join(tmpdir(), "app-"));
cpSync(join(root, "out", "test", "inspect", "watched.js"), join(app, "server.mjs"));
mkdirSync(join(app, "node_modules"));
symlinkSync(join(root, "out"), join(app, "node_modules", "berkeley"));
const program = spawn(process.execPath, ["--title=server", join(app, "server.mjs")], {
  stdio: ["pipe", "pipe", "inherit"],
});
const lines = createInterface(program.stdout);
const nextLine = async () => (await once(lines, "line"))[0];
const say = (line) => program.stdin.write(`${line}\n`);

const executablePath = process.env.BERKELEY_CHROMIUM ?? "/usr/bin/chromium";
if (!existsSync(executablePath)) throw new Error(`Cannot make screenshots: ${executablePath} is missing`);

async function shots(browser, url, theme) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 760 }, colorScheme: theme });
  const shot = async (name, target = page) => {
    const path = join(folder, `inspector-${name}-${theme}.png`);
    await target.screenshot({ path, animations: "disabled" });
    spawnSync("pngquant", ["--force", "--skip-if-larger", "--output", path, "--quality", "85-99", path]);
    process.stdout.write(`${path}\n`);
  };
  await page.goto(url);
  // Sorts by the send queue, longest first. The first row is then the sender whose peer does not read.
  const sendQueue = page.getByRole("button", { name: "send-q" });
  await sendQueue.click();
  await sendQueue.click();
  await page.mouse.move(0, 400);
  await page.locator(".finding").first().waitFor();
  await shot("table");

  // The page of a busy client, after 20 seconds, so that its plots have enough points.
  await page.getByRole("searchbox").fill("established");
  const sent = page.getByRole("button", { name: "sent" });
  await sent.click();
  await sent.click();
  await page.locator('[role="row"].body').nth(6).click();
  await page.waitForTimeout(20_000);
  await page.evaluate("scrollTo(0, 0)");
  await shot("socket");
  await page.goto(`${url}#/`);

  say("talk");
  const peer = await nextLine();
  await page.getByRole("searchbox").fill(peer);
  await page.locator('[role="row"].body', { has: page.locator(".cell.peer", { hasText: peer }) }).click();
  await page.locator(".plot canvas").first().waitFor();
  say("go on");
  await nextLine();
  await page.locator('.event[data-call="close"]').nth(1).waitFor();
  say("end");
  // In a small window the header of the page would cover a part of the diagram.
  await page.setViewportSize({ width: 1280, height: 2200 });
  await shot("diagram", page.locator(".sequence"));
  await page.setViewportSize({ width: 1280, height: 760 });

  await page.goto(`${url}#/tour/tcp`);
  for (const title of ["socket", "bind", "listen", "The client: connect"]) {
    await page.getByRole("button", { name: "Next step" }).click();
    await page.getByRole("heading", { name: title }).waitFor();
  }
  await page.waitForTimeout(800);
  await shot("tour");
  await page.close();
}

try {
  const url = await nextLine();
  const browser = await chromium.launch({ executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
  for (const theme of ["light", "dark"]) await shots(browser, url, theme);
  await browser.close();
} finally {
  program.stdin.end();
  await once(program, "exit");
  rmSync(app, { recursive: true });
}
