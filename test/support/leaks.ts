// Checks that a test file leaves no open descriptor, and no handle that keeps the event loop alive.
//
// A file calls checkLeaks() once, at its top level, before its first test. The descriptors that are open then are the
// baseline: Node's own epoll, pipes and eventfds, and the standard streams. After the last test, all others must be
// closed.
//
// Linux lists the descriptors of the whole process in /proc/self/fd, including those of worker threads.
import { readdirSync, readlinkSync } from "node:fs";
import { after } from "node:test";
import { SLOWDOWN } from "./slowdown.js";

/** Minimum time to wait for the remaining descriptors and handles to close, in milliseconds. */
const MIN_WAIT = 1000;
/** Minimum number of turns of the event loop to wait for them. */
const MIN_TURNS = 100;

/**
 * How many reactors the process may have. A reactor opens an epoll descriptor when a call waits for the first time. It
 * stays open as long as the evaluation of the package exists.
 */
const POLLERS = 1;
/** The kinds of descriptors that a reactor opens. With the poller thread it also opens an eventfd. */
const POLLER_DESCRIPTORS = [
  "anon_inode:[eventpoll]",
  ...(process.env["BERKELEY_POLLER"] === "thread" || "bun" in process.versions || "deno" in process.versions
    ? ["anon_inode:[eventfd]"]
    : []),
];

/** Number of descriptors that the first waiting call opens. Bun opens more when it starts a program. */
export const POLLER_SIZE: number = POLLER_DESCRIPTORS.length;

/** Maximum time until the process must end by itself, in milliseconds. */
const END_TIMEOUT = 2_000 * SLOWDOWN;

/** The open descriptors of this process, each with its target, such as `socket:[4242]` or `/etc/hosts`. */
export function openDescriptors(): Map<number, string> {
  const open = new Map<number, string>();
  for (const name of readdirSync("/proc/self/fd")) {
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`);
      // libuv opens these for itself at any time. No test can open one.
      if (target !== "anon_inode:[io_uring]") open.set(Number(name), target);
    } catch (error) {
      // The descriptor that listed the folder is closed by now.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return open;
}

/** The kinds of resources that keep the event loop alive, with their numbers. */
function liveHandles(): Map<string, number> {
  const live = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    // The wait for the next turn in checkLeaks() is an Immediate.
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
 * Makes the calling file fail when it leaves descriptors open or handles alive, and lists them. It also ends the
 * process, because with such a handle the process would not end by itself.
 *
 * @param options `pollers`: how many reactors may have opened an epoll descriptor
 */
export function checkLeaks({ pollers = POLLERS }: { readonly pollers?: number } = {}): void {
  // On a terminal the first use of each opens a descriptor.
  void process.stdout;
  void process.stderr;
  const descriptors = openDescriptors();
  const handles = liveHandles();

  after(async () => {
    let left: string[] = [];
    // A runtime may need some time to close the pipes of a child that has ended.
    const until = Date.now() + MIN_WAIT;
    for (let turn = 0; turn < MIN_TURNS || Date.now() < until; turn++) {
      left = [...newDescriptors(descriptors, pollers), ...newHandles(handles)];
      if (left.length === 0) break;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    // A call that still waits keeps the process alive, but Node does not list it. The timer does not keep it alive.
    setTimeout(() => {
      process.stderr.write(`checkLeaks: ${process.argv[1] ?? "the process"} does not end: something still waits\n`);
      process.exit(1);
    }, END_TIMEOUT).unref();
    if (left.length === 0) return;
    const report = `these are left after the last test:\n  ${left.join("\n  ")}`;
    // From Node 22 on, a failed hook of a file does not always set the exit status or print the error.
    process.stderr.write(`checkLeaks: ${report}\n`);
    process.exitCode = 1;
    throw new Error(report);
  });
}
