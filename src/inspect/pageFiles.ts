// The files of the page: built with the package, and read from its folder when they are asked for.

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

/** In the package, `inspect/page/` is beside this code or beside its chunk; in development it is out/inspect/page/. */
const FOLDERS = ["./page/", "../inspect/page/", "../../inspect/page/"];

let folder: URL | undefined;

function findFolder(): URL | undefined {
  for (const path of FOLDERS) {
    const url = new URL(path, import.meta.url);
    if (fs().existsSync(new URL("index.html", url))) return url;
  }
  return undefined;
}

/** A file by the path of a request: `/` or `/assets/NAME`. A name has no folder, so none is outside the folder. */
export function pageFile(path: string): PageFile | undefined {
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
