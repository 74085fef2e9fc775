// Loaded before a test file under Deno. Tests start programs by process.execPath, with arguments of Node.js. So
// process.execPath becomes a script that starts Deno with the equivalent arguments; scripts/runtimes.mjs writes it.
import { ChildProcess } from "node:child_process";
import process from "node:process";

if (process.env.BERKELEY_DENO !== undefined) process.execPath = process.env.BERKELEY_DENO;

// Replaces kill(), because that of Deno sends only the first signal. After that it returns false, and the event "exit"
// has that signal in every case.
ChildProcess.prototype.kill = function kill(signal = "SIGTERM") {
  if (this.exitCode !== null || this.signalCode !== null || this.pid === undefined) return false;
  this.killed = true;
  return process.kill(this.pid, signal);
};
