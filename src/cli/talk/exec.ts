// --exec: runs a command for a connection. The received data is the standard input of the command, and the standard
// output of the command is sent to the peer.

import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Writable } from "node:stream";

import type { Channel } from "./channel.js";

/** Milliseconds between SIGTERM and SIGKILL. */
const KILL_DELAY = 2000;

/** Runs the command until it ends, and closes the channel. Resolves with the numbers of sent and received bytes. */
export async function execute(
  command: string,
  channel: Channel,
  signal: AbortSignal,
): Promise<{ readonly sent: number; readonly received: number }> {
  const counts = { sent: 0, received: 0 };
  /** Aborted when the command has ended, or when another step has failed. The abort ends the loop that receives. */
  const endReceiving = new AbortController();
  const env = { ...process.env, BERKELEY_PEER: channel.name };
  const child = spawn("/bin/sh", ["-c", command], { stdio: ["pipe", "pipe", "inherit"], env, detached: true });
  // The shell has a process group of its own (`detached`). A signal to the group also ends the programs that the shell
  // has started.
  const killGroup = (signalName: "SIGTERM" | "SIGKILL"): void => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    try {
      process.kill(-child.pid, signalName);
    } catch {
      // The command has ended already.
    }
  };
  const onAbort = (): void => killGroup("SIGTERM");
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const exited = once(child, "exit");
  // Awaited below. If another step fails first, a rejection of this promise must not be unhandled.
  exited.catch(() => undefined);
  // EPIPE: a command may end, or close its input, without reading all of it. The error also closes `child.stdin`.
  child.stdin.on("error", () => {});
  const receiving = (async () => {
    for (;;) {
      const data = await channel.receive({ signal: endReceiving.signal });
      if (data === null) break;
      counts.received += data.length;
      // Copied, because the channel reuses its buffer.
      if (!child.stdin.destroyed && !child.stdin.write(Buffer.from(data))) {
        await drainOrClose(child.stdin);
      }
    }
    child.stdin.end();
  })().catch((error: unknown) => {
    if (endReceiving.signal.aborted) return;
    // The connection is broken, so the output of the command can't be sent.
    killGroup("SIGTERM");
    throw error;
  });
  // As for `exited`: a rejection must not be unhandled.
  receiving.catch(() => undefined);
  try {
    for await (const chunk of child.stdout) {
      await channel.send(chunk as Buffer, { signal });
      counts.sent += (chunk as Buffer).length;
    }
    await channel.finish();
    await exited;
  } catch (error) {
    killGroup("SIGTERM");
    throw error;
  } finally {
    endReceiving.abort();
    signal.removeEventListener("abort", onAbort);
    // After a normal end the command has exited already. After an error it has received SIGTERM, which it may ignore.
    const killTimer = setTimeout(() => killGroup("SIGKILL"), KILL_DELAY);
    await exited.catch(() => undefined);
    clearTimeout(killTimer);
    await channel.close();
    // This promise rejects if receiving has failed.
    await receiving;
  }
  return counts;
}

/** Resolves when the stream accepts data again, or is closed. (`once()` of node:events would reject after an error.) */
function drainOrClose(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
  });
}
