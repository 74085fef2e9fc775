// The old program's side of the channel to the new program; see upgradeChannel.ts.

import { fs } from "../builtins.js";
import { AF_UNIX } from "../addr/index.js";
import { SOCK_SEQPACKET } from "../sys/constants.js";
import { onClose, type Socket, socketpair } from "../socket/index.js";
import type { PassableSocket } from "./upgradeSockets.js";
import { UPGRADE_VARIABLE } from "./inherited.js";
import {
  receiveUpgradeMessage,
  sendUpgradeMessage,
  SOCKETS_PER_MESSAGE,
  UPGRADE_PROTOCOL,
  type UpgradeMessage,
} from "./upgradeChannel.js";

/** The number of the channel's descriptor in the new program. */
const CHILD_FD = 3;

/** The channel to the new program, made before that program starts. */
export interface NewProgramChannel {
  /** Environment variables for the new program. */
  readonly env: Readonly<Record<string, string>>;
  /** The descriptor for the new program, which must inherit it as number 3. */
  readonly fd: number;
  /** Closes `fd` in this program. Call it when the new program has started. */
  onStarted(): void;
  /**
   * Answers `hello` with the sockets. Resolves with the next message of another type; undefined if the new program has
   * ended. If `hello` has another version, answers `no`, and resolves with a message `failed`.
   */
  receive(): Promise<UpgradeMessage | undefined>;
  send(message: UpgradeMessage): Promise<void>;
  /** Calls `listener` when one of `sockets` is closed in this program, until `unwatch()`. */
  watch(listener: () => void): void;
  unwatch(): void;
  close(): void;
}

/** Makes a channel that passes `sockets` to the new program. */
export function openUpgradeChannel(sockets: readonly PassableSocket[]): NewProgramChannel {
  const [oldEnd, newEnd] = socketpair(AF_UNIX, SOCK_SEQPACKET);
  const fd = newEnd.fileno();
  /** Each removes the listener of one socket. */
  const removers: (() => void)[] = [];
  const { ino } = fs().fstatSync(fd, { bigint: true });
  const unwatch = (): void => {
    for (const remove of removers.splice(0)) remove();
  };
  return {
    env: { [UPGRADE_VARIABLE]: `${CHILD_FD}:${ino}` },
    fd,
    onStarted: () => newEnd.close(),
    receive: async () => {
      for (;;) {
        const received = await receiveUpgradeMessage(oldEnd);
        received?.fds.close();
        if (received?.message.type !== "hello") return received?.message;
        if (received.message.protocol !== UPGRADE_PROTOCOL) {
          const reason = `the versions of the messages differ: ${received.message.protocol} and ${UPGRADE_PROTOCOL}`;
          await sendUpgradeMessage(oldEnd, { type: "no", reason });
          return { type: "failed", summary: reason };
        }
        await sendSockets(oldEnd, sockets);
      }
    },
    send: (message) => sendUpgradeMessage(oldEnd, message),
    watch: (listener) => {
      for (const { socket } of sockets) removers.push(onClose(socket, listener));
    },
    unwatch,
    close: () => {
      unwatch();
      newEnd.close();
      oldEnd.close();
    },
  };
}

/** Sends the sockets and their descriptions, in as many messages as needed. */
async function sendSockets(channel: Socket, sockets: readonly PassableSocket[]): Promise<void> {
  for (let sent = 0; sent < sockets.length;) {
    const part = sockets.slice(sent, sent + SOCKETS_PER_MESSAGE);
    const described = part.map(({ file, names }, index) => ({
      id: sent + index,
      names,
      file:
        file === undefined
          ? undefined
          : { path: file.path.toString("latin1"), dev: String(file.dev), ino: String(file.ino) },
    }));
    sent += part.length;
    await sendUpgradeMessage(
      channel,
      { type: "sockets", sockets: described, more: sent < sockets.length },
      part.map(({ socket }) => socket),
    );
  }
}
