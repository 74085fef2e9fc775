// Sockets and descriptors on a fake kernel.

import { after } from "node:test";
import { setImmediate as immediate } from "node:timers/promises";
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
  /** One turn with one event for each of these sockets. */
  readonly fire: (events: number, ...sockets: readonly Socket[]) => void;
}

// The fourth parameter is the constructor's own business; only here it is used from outside.
const OnDescriptor = Socket as unknown as new (
  family: number,
  type: number,
  protocol: number,
  descriptor: Descriptor,
) => Socket;

/** Keeps what is left open from being collected, and warned about: there is nothing behind it. */
const kept: Socket[] = [];

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

/** Lets everything that is due in this turn of the loop happen, what was deferred to it included. */
export const turn = (): Promise<void> => immediate();

/** What became of a promise so far. */
export interface Watched<T> {
  state: "pending" | "resolved" | "rejected";
  value?: T;
  error?: unknown;
}

/** Follows a promise without waiting for it. */
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
 * Keeps the process alive for the tests of a file: a fake poller does not. Called once, at the top of the file and before
 * checkLeaks().
 */
export function keepAlive(): void {
  const timer = setInterval(() => {}, 60_000);
  after(() => clearInterval(timer));
}
