// --exec: runs a command whose standard input is the received data, and sends its standard output.

import { spawn } from "node:child_process";
import { once } from "node:events";

import type { Channel } from "./channel.js";

/** Milliseconds between SIGTERM and SIGKILL. */
const KILL_DELAY = 2000;

/** Runs the command until it ends, and closes the channel. Resolves with the number of bytes of each direction. */
export async function execute(
  command: string,
  channel: Channel,
  signal: AbortSignal,
): Promise<{ readonly sent: number; readonly received: number }> {
  const counts = { sent: 0, received: 0 };
  const ending = new AbortController();
  const env = { ...process.env, BERKELEY_PEER: channel.name };
  const child = spawn("/bin/sh", ["-c", command], { stdio: ["pipe", "pipe", "inherit"], env, detached: true });
  // The shell has a process group of its own (`detached`). A signal to the group also ends what the shell has started.
  const killGroup = (signalName: "SIGTERM" | "SIGKILL" = "SIGTERM"): void => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    try {
      process.kill(-child.pid, signalName);
    } catch {
      // The command has ended already.
    }
  };
  const onAbort = (): void => killGroup();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) killGroup();
  const exited = once(child, "exit");
  // Awaited below. If another step fails first, this rejection must not be unhandled.
  exited.catch(() => undefined);
  // EPIPE: a command may end without reading all its input.
  child.stdin.on("error", () => {});
  const feeding = (async () => {
    for (;;) {
      const data = await channel.receive({ signal: ending.signal });
      if (data === null) break;
      counts.received += data.length;
      // Copied, because the channel reuses its buffer.
      if (!child.stdin.destroyed && !child.stdin.write(Buffer.from(data))) {
        await Promise.race([once(child.stdin, "drain"), once(child.stdin, "close")]);
      }
    }
    child.stdin.end();
  })().catch((error: unknown) => {
    if (ending.signal.aborted) return;
    // The connection is broken, so the output of the command can't be sent.
    killGroup();
    throw error;
  });
  // Awaited below, as `exited`.
  feeding.catch(() => undefined);
  try {
    for await (const chunk of child.stdout) {
      await channel.send(chunk as Buffer, { signal });
      counts.sent += (chunk as Buffer).length;
    }
    await channel.finish();
    await exited;
  } catch (error) {
    killGroup();
    throw error;
  } finally {
    ending.abort();
    signal.removeEventListener("abort", onAbort);
    const killTimer = setTimeout(() => killGroup("SIGKILL"), KILL_DELAY);
    await exited.catch(() => undefined);
    clearTimeout(killTimer);
    await channel.close();
    await feeding;
  }
  return counts;
}
