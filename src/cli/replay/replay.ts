// Loads a recorded conversation. Sends the bytes of the recorded client to an endpoint, and compares the answers with
// the recorded ones.

import { readFileSync, statSync } from "node:fs";

import { connect, connectUdp, IncompleteReadError, type Stream, type UdpSocket } from "berkeley";
import { type Conversation, readConversations } from "berkeley/pcapng";

import { readEndpoint } from "../frame/endpoints.js";
import { Failure, UsageError } from "../frame/failure.js";

/** Maximum number of bytes of a capture, which is read into memory as a whole. */
const MAX_FILE = 1 << 30;

/** Maximum number of bytes of one read, for bytes that the capture does not have. */
const MAX_READ = 65_536;

/** Maximum number of bytes that are printed of each side of a difference. */
const MAX_SHOWN = 16;

/** Reads a capture. Returns its conversation with this index, from 0. */
export function loadConversation(path: string, index: number): Conversation {
  let capture: Buffer;
  try {
    const { size } = statSync(path);
    if (size > MAX_FILE) throw new Error(`it has ${size} bytes, required at most ${MAX_FILE}`);
    capture = readFileSync(path);
  } catch (error) {
    throw new UsageError(`FILE is ${JSON.stringify(path)}, which can't be read: ${(error as Error).message}`);
  }
  let conversations: Conversation[];
  try {
    conversations = readConversations(capture);
  } catch (error) {
    throw new Failure(`${JSON.stringify(path)}: ${(error as Error).message}`);
  }
  const conversation = conversations[index];
  if (conversation === undefined) {
    throw new Failure(
      `${JSON.stringify(path)} has ${conversations.length} conversations, and none with the number ${index}`,
    );
  }
  return conversation;
}

interface ReplayOptions {
  /** Milliseconds for connecting, and for each read and write; undefined for no limit. */
  readonly timeout: number | undefined;
  readonly signal: AbortSignal;
}

interface WaitOptions {
  readonly timeout?: number;
  readonly signal: AbortSignal;
}

/** Numbers of bytes. */
interface Totals {
  readonly sent: number;
  readonly received: number;
}

/** Sends the recorded bytes of the client, and reads the answers. Throws if an answer differs from the recorded one. */
export async function replay(conversation: Conversation, target: string, options: ReplayOptions): Promise<Totals> {
  const { protocol } = conversation;
  const endpoint = readEndpoint(target, { scheme: protocol, schemes: ["tcp", "tls", "udp", "unix"] });
  const { timeout, signal } = options;
  const wait: WaitOptions = { signal, ...(timeout === undefined ? {} : { timeout }) };
  if ((endpoint.scheme === "udp") !== (protocol === "udp")) {
    throw new UsageError(`ENDPOINT is ${JSON.stringify(target)}, required one of ${protocol} as in the capture`);
  }
  // A turn is data of one side. After its `bytes`, the side has sent `cut` more bytes that the capture did not store.
  const missing = conversation.turns.reduce((sum, { side, cut = 0 }) => sum + (side === "client" ? cut : 0), 0);
  if (missing > 0) throw new Failure(`the capture lacks ${missing} of the bytes that the client sent`);
  if (endpoint.scheme === "udp") {
    await using socket = await connectUdp(endpoint, wait);
    return await replayDatagrams(conversation, socket, wait);
  }
  await using stream = await connect(endpoint, wait);
  return await replayStream(conversation, stream, wait);
}

async function replayStream({ turns }: Conversation, stream: Stream, wait: WaitOptions): Promise<Totals> {
  let sent = 0;
  let received = 0;
  const read = async (length: number): Promise<Uint8Array> => {
    try {
      return await stream.readExactly(length, wait);
    } catch (error) {
      if (!(error instanceof IncompleteReadError)) throw error;
      throw new Failure(
        `the answer ends after ${received + error.received.length} bytes, and the recorded one goes on`,
      );
    }
  };
  for (const { side, bytes, cut = 0 } of turns) {
    if (side === "client") {
      await stream.write(bytes, wait);
      sent += bytes.length;
      continue;
    }
    requireEqual(await read(bytes.length), bytes, received);
    received += bytes.length;
    // The capture does not have the cut bytes. So they are read, and not compared.
    for (let remaining = cut; remaining > 0;) {
      const { length } = await read(Math.min(remaining, MAX_READ));
      remaining -= length;
      received += length;
    }
  }
  return { sent, received };
}

async function replayDatagrams({ turns }: Conversation, socket: UdpSocket, wait: WaitOptions): Promise<Totals> {
  let sent = 0;
  let received = 0;
  for (const { side, bytes, cut = 0 } of turns) {
    if (side === "client") {
      await socket.send(bytes, undefined, wait);
      sent += bytes.length;
    } else {
      const { data } = await socket.receive(wait);
      if (cut > 0 && data.length !== bytes.length + cut) {
        throw new Failure(`an answer has ${data.length} bytes, and the recorded one ${bytes.length + cut}`);
      }
      requireEqual(cut > 0 ? data.subarray(0, bytes.length) : data, bytes, received);
      received += data.length;
    }
  }
  return { sent, received };
}

/** Throws if an answer differs from the recorded one. `previousBytes` is the number of bytes of all earlier answers. */
function requireEqual(answer: Uint8Array, recorded: Buffer, previousBytes: number): void {
  if (recorded.equals(answer)) return;
  // The index of the first difference.
  let at = 0;
  while (at < recorded.length && at < answer.length && recorded[at] === answer[at]) at++;
  const shown = (bytes: Uint8Array): string =>
    Buffer.from(bytes.subarray(at, at + MAX_SHOWN)).toString("hex") || "nothing";
  throw new Failure(
    `the answer differs from byte ${previousBytes + at} on: it has ${shown(answer)}, and the recorded one ` +
      shown(recorded),
  );
}
