// What a test file leaves behind: descriptors still open and handles that still hold the event loop.
//
// A file calls checkLeaks() once, at its top level, before its first test. Whatever is open then (Node's own epoll,
// pipes and eventfds, the standard streams) is the baseline; after the last test everything else must be gone again.
//
// Linux lists descriptors in /proc/self/fd, for the whole process: those of its worker threads are among them.
import { readdirSync, readlinkSync } from "node:fs";
import { after } from "node:test";

/** Milliseconds in which what is left may still end. */
const LEAST_WAIT = 1000;
/** Turns of the event loop that a handle may take to finish closing, after the last test. */
const turnsAllowed = 100;

/** A reactor opens one epoll descriptor when a call first has to wait and keeps it for as long as its evaluation lives. */
const POLLERS = 1;
/** With a thread that waits it has an eventfd as well. */
const POLLER_DESCRIPTORS = [
  "anon_inode:[eventpoll]",
  ...(process.env["BERKELEY_POLLER"] === "thread" || "bun" in process.versions || "deno" in process.versions
    ? ["anon_inode:[eventfd]"]
    : []),
];

/** What the first call that waits opens. Bun opens more of the same kinds when it first starts a program. */
export const POLLER_SIZE: number = POLLER_DESCRIPTORS.length;

/** How long the process may take to end by itself once nothing is left, in milliseconds. */
const endingAllowed = 2_000;

/** The open descriptors of this process, each with what it refers to, as `socket:[4242]` or `/etc/hosts`. */
export function openDescriptors(): Map<number, string> {
  const open = new Map<number, string>();
  for (const name of readdirSync("/proc/self/fd")) {
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`);
      // libuv makes rings of its own when it pleases; no test can open one.
      if (target !== "anon_inode:[io_uring]") open.set(Number(name), target);
    } catch (error) {
      // The descriptor that listed the folder is closed by now.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return open;
}

/** The kinds of what holds the event loop, with how many of each. */
function liveHandles(): Map<string, number> {
  const live = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    // Our own wait for the next turn is an Immediate.
    if (kind !== "Immediate") live.set(kind, (live.get(kind) ?? 0) + 1);
  }
  return live;
}

function newDescriptors(before: Map<number, string>, pollersAllowed: number): string[] {
  const opened = [...openDescriptors()].filter(([fd, target]) => before.get(fd) !== target);
  const own = POLLER_DESCRIPTORS.flatMap((kind) =>
    opened.filter(([, target]) => target === kind).slice(0, "bun" in process.versions ? Infinity : pollersAllowed),
  );
  return opened.filter((entry) => !own.includes(entry)).map(([fd, target]) => `descriptor ${fd} -> ${target}`);
}

function newHandles(before: Map<string, number>): string[] {
  return [...liveHandles()].flatMap(([kind, count]) => {
    const more = count - (before.get(kind) ?? 0);
    return more > 0 ? [`${more} live ${kind}`] : [];
  });
}

/**
 * Fails the file in which it is called when that file leaves a descriptor open or a handle alive, and lists them.
 * A file that leaks a handle would never end: once it has failed it is ended.
 *
 * @param options `pollers`: how many reactors may have opened an epoll descriptor
 */
export function checkLeaks({ pollers = POLLERS }: { readonly pollers?: number } = {}): void {
  // On a terminal these open a descriptor each when first used.
  void process.stdout;
  void process.stderr;
  const descriptors = openDescriptors();
  const handles = liveHandles();

  after(async () => {
    let left: string[] = [];
    // A runtime may take a while to close the pipes of a child that has ended.
    const until = Date.now() + LEAST_WAIT;
    for (let turn = 0; turn < turnsAllowed || Date.now() < until; turn++) {
      left = [...newDescriptors(descriptors, pollers), ...newHandles(handles)];
      if (left.length === 0) break;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    // A call that still waits holds the process without being a handle that Node knows of. The timer itself holds nothing.
    setTimeout(() => {
      process.stderr.write(`checkLeaks: ${process.argv[1] ?? "the process"} does not end: something still waits\n`);
      process.exit(1);
    }, endingAllowed).unref();
    if (left.length === 0) return;
    const report = `these are left after the last test:\n  ${left.join("\n  ")}`;
    // From Node 22 on, a hook of the file that fails neither sets the status nor prints its reason everywhere.
    process.stderr.write(`checkLeaks: ${report}\n`);
    process.exitCode = 1;
    throw new Error(report);
  });
}
