// The new program of an upgrade: receives the sockets of the old one, and accepts connections when both are ready.
//
// Until then the old program serves. If this one fails before, no connection is lost, because it has accepted none.

import { Buffer } from "node:buffer";
import { fs, util } from "../builtins.js";
import type { ReceivedDescriptors } from "../cmsg/index.js";
import { Socket } from "../socket/index.js";
import { calls } from "../sys/calls.js";
import { localError } from "../wait/localError.js";
import { UnixFile } from "./unixPath.js";
import { type DescribedSocket, receiveUpgradeMessage, sendUpgradeMessage, UPGRADE_PROTOCOL } from "./upgradeChannel.js";

/** A socket of the old program. */
export interface InheritedSocket {
  readonly id: number;
  readonly names: readonly string[];
  readonly socket: Socket;
  readonly file: UnixFile | undefined;
}

/** Characters of an error that are sent to the old program. */
const MAX_ERROR = 4_000;

/**
 * Connects to the old program and receives its sockets. Undefined if the descriptor is not that of the old program, as
 * in a program that has inherited only the environment.
 */
export async function receiveInheritance(place: string): Promise<Inheritance | undefined> {
  const [, fd, inode] = /^(\d+):(\d+)$/.exec(place) ?? [];
  if (fd === undefined || inodeOf(Number(fd)) !== inode) return undefined;
  const inheritance = new Inheritance(Socket.fromfd(Number(fd)));
  await inheritance.receive();
  return inheritance;
}

function inodeOf(fd: number): string | undefined {
  try {
    const status = fs().fstatSync(fd, { bigint: true });
    return status.isSocket() ? String(status.ino) : undefined;
  } catch {
    return undefined;
  }
}

export class Inheritance {
  /** Resolves when this program may accept connections; rejects if the old program goes on instead. */
  readonly gate: Promise<void>;
  /** Resolves when the old program has stopped to accept. */
  readonly #alone: Promise<void>;
  readonly #control: Socket;
  #sockets: InheritedSocket[] = [];
  readonly #files: UnixFile[] = [];
  readonly #taken: number[] = [];
  #ready = false;
  #failure: { readonly error: unknown } | undefined;
  #open!: () => void;
  #finish!: () => void;
  #fail!: (error: unknown) => void;

  constructor(control: Socket) {
    this.#control = control;
    this.gate = new Promise((resolve, reject) => {
      this.#open = resolve;
      this.#fail = reject;
    });
    this.#alone = new Promise((resolve) => (this.#finish = resolve));
    // Not all programs wait for it.
    this.gate.catch(() => undefined);
    process.on("uncaughtExceptionMonitor", this.#report);
  }

  /** @throws SocketError `ECANCELED` if the old program has ended */
  async receive(): Promise<void> {
    try {
      await sendUpgradeMessage(this.#control, { type: "hello", protocol: UPGRADE_PROTOCOL });
      for (let more = true; more;) {
        const received = await receiveUpgradeMessage(this.#control);
        if (received?.message.type !== "sockets") {
          received?.fds.close();
          throw refusal(received?.message);
        }
        more = received.message.more;
        this.#adopt(received.message.sockets, received.fds);
      }
    } catch (error) {
      this.#give(error);
      throw error;
    }
    void this.#wait();
  }

  /** Takes descriptors over one after the other, so that those that are left after an error can be closed. */
  #adopt(sockets: readonly DescribedSocket[], fds: ReceivedDescriptors): void {
    try {
      if (fds.length !== sockets.length) throw refusal({ type: `${fds.length} of ${sockets.length} sockets came` });
      for (const described of sockets) this.#sockets.push(adopt(fds.take(1)[0]!, described));
    } finally {
      fds.close();
    }
  }

  /** Takes the socket that has one of these names. The first one, if there are several. */
  take(names: readonly string[], type: number): InheritedSocket | undefined {
    const index = this.#sockets.findIndex(
      (one) => one.socket.type === type && one.names.some((name) => names.includes(name)),
    );
    if (index < 0 || this.#ready) return undefined;
    const [found] = this.#sockets.splice(index, 1);
    const { file, id } = found!;
    this.#taken.push(id);
    if (file !== undefined) this.#files.push(file);
    return found;
  }

  /** This program can serve. Resolves when it does, and the old program has stopped to accept. */
  async ready(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (!this.#ready) {
      this.#ready = true;
      const message = { type: "ready", pid: process.pid, taken: this.#taken } as const;
      // If the old program has ended, the gate rejects.
      await sendUpgradeMessage(this.#control, message).catch(() => undefined);
    }
    await this.gate;
    await this.#alone;
  }

  /** Waits for the decision of the old program. This keeps the process alive. */
  async #wait(): Promise<void> {
    try {
      const received = await receiveUpgradeMessage(this.#control);
      received?.fds.close();
      if (received?.message.type !== "go") throw refusal(received?.message);
    } catch (error) {
      this.#give(error);
      return;
    }
    for (const file of this.#files) file.kept = false;
    this.#open();
    this.#end();
    // The servers begin to accept in microtasks.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      await sendUpgradeMessage(this.#control, { type: "serving" });
      // The old program closes its end when it has stopped to accept.
      await receiveUpgradeMessage(this.#control);
    } catch {
      // It has ended.
    }
    this.#control.close();
    this.#finish();
  }

  /** There is no upgrade. */
  #give(error: unknown): void {
    this.#failure = { error };
    this.#fail(error);
    this.#end();
    this.#control.close();
  }

  #end(): void {
    process.off("uncaughtExceptionMonitor", this.#report);
    // The old program has closed its own, too: nobody listens there any more.
    for (const { socket } of this.#sockets.splice(0)) socket.close();
  }

  /** Sends the error that is about to end this process. */
  readonly #report = (error: unknown): void => {
    try {
      const [summary, detail] = [summaryOf(error), util().inspect(error)].map((text) => text.slice(0, MAX_ERROR));
      this.#control.trySend(JSON.stringify({ type: "failed", summary, detail }));
    } catch {
      // The exit status has to do.
    }
  };
}

function adopt(fd: number, { id, names, file }: DescribedSocket): InheritedSocket {
  let socket: Socket;
  try {
    // Sets close-on-exec and O_NONBLOCK.
    socket = Socket.fromfd(fd);
  } catch (error) {
    calls.close(fd);
    throw error;
  }
  if (file === undefined) return { id, names, socket, file: undefined };
  const owned = new UnixFile(Buffer.from(file.path, "latin1"), { dev: BigInt(file.dev), ino: BigInt(file.ino) });
  // Until this program serves, the file belongs to the old one.
  owned.kept = true;
  return { id, names, socket, file: owned };
}

/** The message of an error and of its causes. */
function summaryOf(error: unknown): string {
  const texts: string[] = [];
  for (let one = error; one instanceof Error && texts.length < 10; one = one.cause) {
    texts.push(texts.length === 0 ? String(one) : one.message);
  }
  return texts.length === 0 ? String(error) : texts.join(": ");
}

function refusal(message: { readonly type: string } | undefined): Error {
  const reason =
    message === undefined ? "the old program has ended" : ((message as { reason?: string }).reason ?? message.type);
  return localError("ECANCELED", "upgrade", { cause: new Error(reason) });
}
