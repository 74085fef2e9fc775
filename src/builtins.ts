// Modules of Node.js that few programs need. Each is loaded when it is first used: loading all of them would take about
// a third of the time and memory that loading this package takes. This file imports no other file of the package.

import type * as ChildProcess from "node:child_process";
import type * as Crypto from "node:crypto";
import type * as DiagnosticsChannel from "node:diagnostics_channel";
import type { setMaxListeners } from "node:events";
import type * as Fs from "node:fs";
import type * as Http from "node:http";
import { createRequire } from "node:module";
import type * as Net from "node:net";
import type * as Os from "node:os";
import type * as PerfHooks from "node:perf_hooks";
import type * as Stream from "node:stream";
import type * as StreamWeb from "node:stream/web";
import type * as Tls from "node:tls";
import type * as Util from "node:util";
import type * as WorkerThreads from "node:worker_threads";

/** `process.getBuiltinModule()`, which Node has from 20.16 and 22.3 on, takes less time than createRequire(). */
const builtinModule = (name: string): unknown =>
  (globalThis as { process?: { getBuiltinModule?(name: string): unknown } }).process?.getBuiltinModule?.(name);

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the type of the module
function lazily<Module>(name: string): () => Module {
  let loaded: Module | undefined;
  // The path does not matter, because the module is built into the runtime.
  return () => (loaded ??= (builtinModule(name) ?? createRequire("/")(name)) as Module);
}

export const childProcess: () => typeof ChildProcess = lazily("node:child_process");
export const crypto: () => typeof Crypto = lazily("node:crypto");
export const diagnosticsChannel: () => typeof DiagnosticsChannel = lazily("node:diagnostics_channel");
export const events: () => { readonly setMaxListeners: typeof setMaxListeners } = lazily("node:events");
// Node itself loads node:fs at its start. An `import` of it would load Node's streams too, and lazily() does not.
export const fs: () => typeof Fs = lazily("node:fs");
export const http: () => typeof Http = lazily("node:http");
/** The class of Node's modules; undefined where `process.getBuiltinModule()` is missing. */
export const nodeModule = (): unknown => builtinModule("node:module");
export const net: () => typeof Net = lazily("node:net");
export const os: () => typeof Os = lazily("node:os");
export const stream: () => typeof Stream = lazily("node:stream");
export const streamWeb: () => typeof StreamWeb = lazily("node:stream/web");
export const tls: () => typeof Tls = lazily("node:tls");
// An import of one name from "node:util" would make Node evaluate all its exports.
export const util: () => typeof Util = lazily("node:util");
export const workerThreads: () => typeof WorkerThreads = lazily("node:worker_threads");

export const perfHooks: () => typeof PerfHooks = lazily("node:perf_hooks");
/** `performance.now()`, from the module because the global `performance` is a getter, which is slower. */
export const clock = (): number => perfHooks().performance.now();
