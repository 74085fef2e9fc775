// Loaded before a test file under Deno. Tests start programs by process.execPath with the arguments of Node.js: a
// script takes its place that starts Deno with the arguments that it has for the same (test:runtimes writes it).
import { ChildProcess } from "node:child_process";
import process from "node:process";

if (process.env.BERKELEY_DENO !== undefined) process.execPath = process.env.BERKELEY_DENO;

// Deno's own sends the first signal alone, returns false after that, and the event "exit" then names that signal
// whatever the status is.
ChildProcess.prototype.kill = function kill(signal = "SIGTERM") {
  if (this.exitCode !== null || this.signalCode !== null || this.pid === undefined) return false;
  this.killed = true;
  return process.kill(this.pid, signal);
};
