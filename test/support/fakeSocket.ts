// Sockets and descriptors on a fake kernel.

import { after } from "node:test";
import { Socket } from "berkeley";
import { Descriptor } from "#berkeley/reactor/index.js";
import { Reactor } from "#berkeley/reactor/index.js";
import { AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM } from "#berkeley/sys/constants.js";
import { FakeSys } from "#berkeley/testing/fakeSys.js";

// epoll(7)
export const IN = 0x1;
export const PRI = 0x2;
export const OUT = 0x4;
export const ERR = 0x8;
export const HUP = 0x10;
export const RDHUP = 0x2000;

export interface Fake {
  readonly sys: FakeSys;
  readonly reactor: Reactor;
  /** A socket on a new descriptor of the fake kernel. */
  readonly socket: (family?: number, type?: number) => Socket;
  /** Delivers one batch of events: `events` for each of these sockets. */
  readonly fire: (events: number, ...sockets: readonly Socket[]) => void;
}

// The fourth parameter is internal to the package. Only this file uses it.
const OnDescriptor = Socket as unknown as new (
  family: number,
  type: number,
  protocol: number,
  descriptor: Descriptor,
) => Socket;

/** Keeps open sockets from being collected, because that would cause a warning. They have no real descriptors. */
const kept: Socket[] = [];

/** A fake kernel, with a reactor on it. */
export function fakeKernel(): Fake {
  const sys = new FakeSys();
  const reactor = new Reactor(sys.calls);
  return {
    sys,
    reactor,
    socket: (family = AF_INET, type = SOCK_STREAM) => {
      const tcp = (family === AF_INET || family === AF_INET6) && type === SOCK_STREAM;
      const descriptor = new Descriptor(sys.newFd(), tcp, reactor);
      const made = new OnDescriptor(family, type, tcp ? IPPROTO_TCP : 0, descriptor);
      kept.push(made);
      return made;
    },
    fire: (events, ...sockets) => sys.fire(...sockets.map((socket) => [sys.token(socket.fileno()), events] as const)),
  };
}

export { turn } from "./clock.js";

/** The state of a promise. */
export interface Watched<T> {
  state: "pending" | "resolved" | "rejected";
  value?: T;
  error?: unknown;
}

/** Records the state of a promise, without waiting for it. */
export function watch<T>(promise: Promise<T>): Watched<T> {
  const watched: Watched<T> = { state: "pending" };
  promise.then(
    (value) => {
      watched.state = "resolved";
      watched.value = value;
    },
    (error: unknown) => {
      watched.state = "rejected";
      watched.error = error;
    },
  );
  return watched;
}

/**
 * Keeps the process alive during the tests of a file, because a fake poller does not. A file calls it once, at its top
 * and before checkLeaks().
 */
export function keepAlive(): void {
  const timer = setInterval(() => {}, 60_000);
  after(() => clearInterval(timer));
}
