// The files of the page. The build of the package makes them. Each request reads its file again.

import { fileURLToPath } from "node:url";

import { fs } from "../builtins.js";

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
  png: "image/png",
  ico: "image/x-icon",
  json: "application/json",
  woff2: "font/woff2",
};

export interface PageFile {
  readonly type: string;
  readonly bytes: Buffer;
}

/**
 * The possible folders of the page, relative to this module. The first two are for the package, where a file in
 * inspect/ or in another folder contains this module. The third is for development: this module is in out/lib/inspect/.
 */
const FOLDERS = ["./page/", "../inspect/page/", "../../inspect/page/"];

let folder: URL | undefined;

function findFolder(): URL | undefined {
  for (const path of FOLDERS) {
    const url = new URL(path, import.meta.url);
    if (fs().existsSync(new URL("index.html", url))) return url;
  }
  return undefined;
}

/**
 * The file for the path of a request: `/` or `/assets/NAME`; undefined if there is none. NAME has no slash, so a
 * request cannot read files of other folders.
 */
export function readPageFile(path: string): PageFile | undefined {
  const name = path === "/" ? "index.html" : /^\/assets\/([\w-]+(?:\.[\w-]+)*)$/.exec(path)?.[1];
  if (name === undefined) return undefined;
  folder ??= findFolder();
  if (folder === undefined) return undefined;
  const file = fileURLToPath(new URL(path === "/" ? name : `assets/${name}`, folder));
  try {
    return {
      type: TYPES[name.slice(name.lastIndexOf(".") + 1)] ?? "application/octet-stream",
      bytes: fs().readFileSync(file),
    };
  } catch {
    return undefined;
  }
}
