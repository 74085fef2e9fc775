// Chromium without a window, controlled by playwright-core. Debian has it in the package `chromium`.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, chromium, type Locator, type Page } from "playwright-core";

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const found = process.env["BERKELEY_CHROMIUM"] ?? PATHS.find((path) => existsSync(path));

/** The reason why tests with a browser can't run here, or false. */
export const noBrowser: string | false =
  found !== undefined || process.env["CI"] === "true" ? false : "there is no chromium";

/** Milliseconds to wait for an action of a page, on a busy machine. */
export const PAGE_TIMEOUT = 30_000;

export async function launch(): Promise<Browser> {
  assert.ok(found !== undefined, "chromium is missing");
  return chromium.launch({
    executablePath: found,
    // As root there is no sandbox of Chromium.
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
    timeout: 60_000,
  });
}

export interface OpenOptions {
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: "light" | "dark";
}

/** A new page. Errors of its scripts, and messages of its console, are collected. */
export async function openPage(
  browser: Browser,
  url: string,
  { width = 1366, height = 800, scheme = "light" }: OpenOptions = {},
): Promise<{ page: Page; problems: string[] }> {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: scheme });
  page.setDefaultTimeout(PAGE_TIMEOUT);
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") problems.push(message.text());
  });
  await page.goto(url);
  return { page, problems };
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The rows of the table of sockets. */
export const rows = (page: Page): Locator => page.locator('[role="row"].body');

interface Violation {
  readonly id: string;
  readonly help: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

/** The violations that axe-core finds in the present page. All of its rules apply, including "best practice". */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  const violating = await page.evaluate<Violation[]>("axe.run(document).then(({ violations }) => violations)");
  return violating.flatMap(({ id, help, nodes }) =>
    nodes
      .slice(0, 3)
      .map(({ html, failureSummary = "" }) => `${id}: ${help}: ${html.slice(0, 200)}\n${failureSummary}`),
  );
}
