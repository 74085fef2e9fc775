// Finds the headers of Node-API and libuv: beside the running Node, or in the cache of node-gyp.
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

const readText = (file) => (existsSync(file) ? readFileSync(file, "utf8") : "");

/** The folder with include/node, if it has the headers of exactly the running Node. Otherwise undefined. */
export function headersOfThisNode() {
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  const version = readText(join(prefix, "include", "node", "node_version.h"));
  const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(version)?.[1];
  const found = `v${part("MAJOR")}.${part("MINOR")}.${part("PATCH")}`;
  const complete = ["node_api.h", "common.gypi"].every((name) => existsSync(join(prefix, "include", "node", name)));
  return complete && found === process.version ? prefix : undefined;
}

/**
 * A folder with node_api.h and uv.h, of any supported version, because the addon uses only their stable parts. It
 * belongs to the running Node, to the setting `nodedir` of npm, to the cache of node-gyp, or to the Node of the system.
 */
export function includeFolder() {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
  const roots = [
    dirname(dirname(realpathSync(process.execPath))),
    process.env.npm_config_nodedir,
    process.env.npm_package_config_node_gyp_nodedir,
    join(cache, "node-gyp", process.version.slice(1)),
    "/usr/local",
    "/usr",
  ];
  return roots
    .filter((root) => root !== undefined)
    .map((root) => join(root, "include", "node"))
    .find((folder) => ["node_api.h", "uv.h"].every((name) => existsSync(join(folder, name))));
}
