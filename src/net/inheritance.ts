// An upgrade in the new program: receives the sockets of the old program, and opens the gate when both programs are
// ready. The gate is a promise that resolves when this program may accept connections.
//
// Until the gate opens, only the old program accepts. If this program fails before that, no connection is lost, because
// this program has accepted none.

import { Buffer } from "node:buffer";
import { fs, util } from "../builtins.js";
import type { ReceivedDescriptors } from "../cmsg/index.js";
import { Socket } from "../socket/index.js";
import { calls } from "../sys/calls.js";
import { localError } from "../wait/localError.js";
import { UnixFile } from "./unixPath.js";
import { type DescribedSocket, receiveUpgradeMessage, sendUpgradeMessage, UPGRADE_PROTOCOL } from "./upgradeChannel.js";

/** A socket that the old program has passed. */
export interface InheritedSocket {
  /** The number of the socket in the messages of the upgrade. */
  readonly id: number;
  /** The names of its endpoint; see `namesOf()` of upgradeSockets.ts. */
  readonly names: readonly string[];
  readonly socket: Socket;
  readonly file: UnixFile | undefined;
}

/** Maximum length of each of the two texts about an error, so that both fit into a message to the old program. */
const MAX_ERROR_LENGTH = 4_000;
/** Maximum number of messages in a summary: that of the error, and those of its causes. */
const MAX_SUMMARY_MESSAGES = 10;

/**
 * Receives the sockets of the old program. Undefined if the descriptor is not the channel to the old program, as in a
 * program that has inherited only the environment.
 *
 * @param channel the value of UPGRADE_VARIABLE: the descriptor and its inode
 */
export async function receiveInheritance(channel: string): Promise<Inheritance | undefined> {
  const [, fd, inode] = /^(\d+):(\d+)$/.exec(channel) ?? [];
  if (fd === undefined || inodeOf(Number(fd)) !== inode) return undefined;
  const inheritance = new Inheritance(Socket.fromfd(Number(fd)));
  await inheritance.receive();
  return inheritance;
}

/** The inode of a socket; undefined if `fd` is no open socket. */
function inodeOf(fd: number): string | undefined {
  try {
    const status = fs().fstatSync(fd, { bigint: true });
    return status.isSocket() ? String(status.ino) : undefined;
  } catch {
    return undefined;
  }
}

/** The sockets of the old program, and the messages that both programs exchange about them. */
export class Inheritance {
  /** Resolves when this program may accept connections; rejects if the old program continues instead. */
  readonly gate: Promise<void>;
  /** Resolves when the old program has stopped accepting. */
  readonly #oldStopped: Promise<void>;
  readonly #channel: Socket;
  /** The sockets that this program has not taken. */
  #untaken: InheritedSocket[] = [];
  /** The files of the sockets that this program has taken. */
  readonly #takenFiles: UnixFile[] = [];
  readonly #takenIds: number[] = [];
  /** Whether `reportReady()` was called. */
  #reportedReady = false;
  /** Set when the upgrade has failed before the gate opened. */
  #failure: { readonly error: unknown } | undefined;
  #openGate!: () => void;
  #resolveOldStopped!: () => void;
  #rejectGate!: (error: unknown) => void;

  constructor(channel: Socket) {
    this.#channel = channel;
    this.gate = new Promise((resolve, reject) => {
      this.#openGate = resolve;
      this.#rejectGate = reject;
    });
    this.#oldStopped = new Promise((resolve) => (this.#resolveOldStopped = resolve));
    // Without this handler, a rejection would end a program that does not wait for the gate.
    this.gate.catch(() => undefined);
    process.on("uncaughtExceptionMonitor", this.#reportFatalError);
  }

  /** Receives all sockets. @throws SocketError `ECANCELED` if the old program has ended */
  async receive(): Promise<void> {
    try {
      await sendUpgradeMessage(this.#channel, { type: "hello", protocol: UPGRADE_PROTOCOL });
      for (let more = true; more;) {
        const received = await receiveUpgradeMessage(this.#channel);
        if (received?.message.type !== "sockets") {
          received?.fds.close();
          throw endedError(received?.message);
        }
        more = received.message.more;
        this.#addSockets(received.message.sockets, received.fds);
      }
    } catch (error) {
      this.#giveUp(error);
      throw error;
    }
    void this.#finishUpgrade();
  }

  /** Makes a Socket of each descriptor. */
  #addSockets(sockets: readonly DescribedSocket[], fds: ReceivedDescriptors): void {
    try {
      if (fds.length !== sockets.length) {
        throw endedError({ type: "sockets", reason: `${fds.length} of ${sockets.length} sockets came` });
      }
      // Each descriptor is taken alone, so that after an error close() closes those that are left.
      for (const described of sockets) this.#untaken.push(inheritSocket(fds.take(1)[0]!, described));
    } finally {
      fds.close();
    }
  }

  /** Takes the first socket that has one of these names. Undefined if there is none, or after `reportReady()`. */
  take(names: readonly string[], type: number): InheritedSocket | undefined {
    const index = this.#untaken.findIndex(
      (candidate) => candidate.socket.type === type && candidate.names.some((name) => names.includes(name)),
    );
    if (index < 0 || this.#reportedReady) return undefined;
    const [taken] = this.#untaken.splice(index, 1);
    const { file, id } = taken!;
    this.#takenIds.push(id);
    if (file !== undefined) this.#takenFiles.push(file);
    return taken;
  }

  /**
   * Reports to the old program that this program can serve. Resolves when this program serves and the old program has
   * stopped accepting.
   */
  async reportReady(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (!this.#reportedReady) {
      this.#reportedReady = true;
      const message = { type: "ready", pid: process.pid, taken: this.#takenIds } as const;
      // If the old program has ended, the gate rejects.
      await sendUpgradeMessage(this.#channel, message).catch(() => undefined);
    }
    await this.gate;
    await this.#oldStopped;
  }

  /**
   * Waits until the old program sends `go`, and opens the gate. Then waits until the old program has stopped accepting.
   * Both waits keep the process alive.
   */
  async #finishUpgrade(): Promise<void> {
    try {
      const received = await receiveUpgradeMessage(this.#channel);
      received?.fds.close();
      if (received?.message.type !== "go") throw endedError(received?.message);
    } catch (error) {
      this.#giveUp(error);
      return;
    }
    // From now on, the files belong to this program.
    for (const file of this.#takenFiles) file.kept = false;
    this.#openGate();
    this.#release();
    // The servers begin to accept in microtasks after the gate has opened, and these run before setImmediate().
    await new Promise((resolve) => setImmediate(resolve));
    try {
      await sendUpgradeMessage(this.#channel, { type: "serving" });
      // The old program closes its end when it has stopped accepting.
      await receiveUpgradeMessage(this.#channel);
    } catch {
      // The old program has ended.
    }
    this.#channel.close();
    this.#resolveOldStopped();
  }

  /** Ends the upgrade with an error. The old program continues. */
  #giveUp(error: unknown): void {
    this.#failure = { error };
    this.#rejectGate(error);
    this.#release();
    this.#channel.close();
  }

  /** Removes the handler of uncaught errors, and closes the sockets that this program has not taken. */
  #release(): void {
    process.off("uncaughtExceptionMonitor", this.#reportFatalError);
    // In the kernel, these sockets listen until the old program closes them too.
    for (const { socket } of this.#untaken.splice(0)) socket.close();
  }

  /** Sends an uncaught error, which ends this process, to the old program. */
  readonly #reportFatalError = (error: unknown): void => {
    try {
      const [summary, detail] = [summaryOf(error), util().inspect(error)].map((text) =>
        text.slice(0, MAX_ERROR_LENGTH),
      );
      this.#channel.trySend(JSON.stringify({ type: "failed", summary, detail }));
    } catch {
      // Then the old program gets only the exit status.
    }
  };
}

function inheritSocket(fd: number, { id, names, file }: DescribedSocket): InheritedSocket {
  let socket: Socket;
  try {
    // Sets close-on-exec and O_NONBLOCK.
    socket = Socket.fromfd(fd);
  } catch (error) {
    calls.close(fd);
    throw error;
  }
  if (file === undefined) return { id, names, socket, file: undefined };
  const unixFile = new UnixFile(Buffer.from(file.path, "latin1"), { dev: BigInt(file.dev), ino: BigInt(file.ino) });
  // Until the gate opens, the file belongs to the old program.
  unixFile.kept = true;
  return { id, names, socket, file: unixFile };
}

/** The messages of an error and of its causes, in one line. */
function summaryOf(error: unknown): string {
  const texts: string[] = [];
  for (let link = error; link instanceof Error && texts.length < MAX_SUMMARY_MESSAGES; link = link.cause) {
    texts.push(texts.length === 0 ? String(link) : link.message);
  }
  return texts.length === 0 ? String(error) : texts.join(": ");
}

/** The error of an upgrade that has ended. @param message the unexpected message; undefined if the channel has ended */
function endedError(message: { readonly type: string; readonly reason?: string } | undefined): Error {
  const reason = message === undefined ? "the old program has ended" : (message.reason ?? message.type);
  return localError("ECANCELED", "upgrade", { cause: new Error(reason) });
}
