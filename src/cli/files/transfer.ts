// Sends and receives a file over a stream. The format on the wire, without --raw:
//
//   sender    {"berkeley":"file","version":1,"name":"backup.tar","size":1234}\n   and then the bytes
//   sender    {"sha256":"…"}\n
//   receiver  {"ok":true}\n   when the receiver has written the file to disk, or {"error":"…"}\n

import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import type { SocketConn, Stream } from "berkeley";

import { escapeLine } from "../frame/escape.js";
import { Failure, UsageError } from "../frame/failure.js";
import type { Output } from "../frame/output.js";
import { Progress } from "../frame/progress.js";
import { formatBytes, formatRate, formatTime } from "../frame/units.js";

export interface TransferPlan {
  readonly output: Output;
  readonly signal: AbortSignal;
  /** Whether only the bytes of the file are sent, without header, checksum and answer. */
  readonly raw: boolean;
  /** Whether the receiver may replace an existing file. */
  readonly force: boolean;
  /** ms without data after which the transfer fails. */
  readonly idle: number | undefined;
}

interface Header {
  readonly name: string;
  readonly size: number;
}

/** Maximum number of bytes of each line: the header, the checksum, the answer. */
const MAX_LINE = 8192;
/** Bytes of a read. */
const BUFFER_SIZE = 256 << 10;
/** With --idle, the minimum timeout of the last line (the checksum or the answer), in ms. */
const MIN_LAST_LINE_TIMEOUT = 60_000;
/** With --raw, the sender waits at most this many ms after the transfer until the receiver closes the connection. */
const SENDER_END_TIMEOUT = 60_000;
/** The receiver waits at most this many ms after the transfer until the sender closes the connection. */
const RECEIVER_END_TIMEOUT = 5000;
/** Milliseconds for sending an error to the sender. */
const ERROR_TIMEOUT = 1000;

/** Sends a file over the stream that `openStream` opens. */
export async function sendFile(path: string, openStream: () => Promise<Stream>, plan: TransferPlan): Promise<void> {
  const { output, raw } = plan;
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (error) {
    throw new UsageError(`FROM is ${JSON.stringify(path)}, which can't be read: ${(error as Error).message}`);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new UsageError(`FROM is ${JSON.stringify(path)}, required a regular file`);
    const { size } = stat;
    const stream = await openStream();
    const began = performance.now();
    const progress = new Progress(output, size);
    try {
      if (!raw)
        await stream.write(
          `${JSON.stringify({ berkeley: "file", version: 1, name: basename(path), size })}\n`,
          waitOptions(plan),
        );
      // Computed while the bytes are sent, and awaited below.
      const sha256 = raw ? undefined : checksum(file, size);
      // If the transfer fails first, the rejection of this promise must not be unhandled.
      sha256?.catch(() => undefined);
      const sent = await sendBytes(stream, file, size, progress, plan);
      if (sent < size)
        throw new Failure(`${JSON.stringify(path)} became shorter while it was sent: ${sent} of ${size} bytes`);
      if (sha256 === undefined) {
        await stream.closeWrite();
        // With --raw the receiver sends no answer. So the sender waits until the receiver closes the connection.
        await stream.end({ timeout: SENDER_END_TIMEOUT });
      } else {
        await sendChecksum(stream, await sha256, plan);
        await stream.close();
      }
    } catch (error) {
      stream.abort();
      throw error;
    } finally {
      progress.end();
    }
    report(output, "sent", path, size, performance.now() - began);
  } finally {
    await file.close();
  }
}

/**
 * Sends the bytes of the file and returns their number. A socket without TLS and without an idle timeout uses
 * sendfile(2). Otherwise the bytes are read and written: TLS encrypts them in this process, and the idle timeout is the
 * timeout of each write.
 */
async function sendBytes(
  stream: Stream,
  file: FileHandle,
  size: number,
  progress: Progress,
  plan: TransferPlan,
): Promise<number> {
  const { signal, idle } = plan;
  const { socket } = stream.conn as Partial<SocketConn>;
  if (stream.secured === undefined && socket !== undefined && idle === undefined) {
    return socket.sendfile(file, {
      offset: 0,
      count: size,
      signal,
      onProgress: (sent) => progress.set(sent),
    });
  }
  const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
  let sent = 0;
  while (sent < size) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(BUFFER_SIZE, size - sent), sent);
    if (bytesRead === 0) break;
    await stream.write(buffer.subarray(0, bytesRead), waitOptions(plan));
    sent += bytesRead;
    progress.set(sent);
  }
  return sent;
}

/** The SHA-256 of the first `size` bytes of the file, in hexadecimal. */
async function checksum(file: FileHandle, size: number): Promise<string> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
  for (let offset = 0; offset < size;) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(BUFFER_SIZE, size - offset), offset);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    offset += bytesRead;
  }
  return hash.digest("hex");
}

/** The options of each read and write: the signal of the transfer, and --idle as the timeout. */
function waitOptions({ signal, idle }: TransferPlan): { signal: AbortSignal; timeout?: number } {
  return idle === undefined ? { signal } : { signal, timeout: idle };
}

const readHeaderLine = (stream: Stream, plan: TransferPlan): Promise<string | null> =>
  stream.readLine({ max: MAX_LINE, ...waitOptions(plan) });

/**
 * Reads the checksum or the answer. The peer may need time before it sends this line: to compute the checksum, or to
 * write to its disk. So a short --idle does not apply.
 */
const readLastLine = (stream: Stream, { signal, idle }: TransferPlan): Promise<string | null> => {
  const timeout = idle === undefined ? null : Math.max(idle, MIN_LAST_LINE_TIMEOUT);
  return stream.readLine({ max: MAX_LINE, signal, timeout });
};

/** Sends the checksum, and waits for the answer of the receiver. */
async function sendChecksum(stream: Stream, sha256: string, plan: TransferPlan): Promise<void> {
  await stream.write(`${JSON.stringify({ sha256 })}\n`, waitOptions(plan));
  const answer = parseObject(await readLastLine(stream, plan), "the answer of the receiver");
  if (answer["ok"] !== true)
    throw new Failure(`the receiver reports: ${escapeLine(JSON.stringify(answer["error"] ?? "no success"))}`);
}

/**
 * Receives a file from the stream that `openStream` opens. If `path` is a folder, the header of the sender has the name
 * of the file.
 */
export async function receiveFile(path: string, openStream: () => Promise<Stream>, plan: TransferPlan): Promise<void> {
  const { output, raw, force } = plan;
  const isFolder = existsSync(path) && statSync(path).isDirectory();
  if (isFolder && raw) throw new UsageError(`TO is ${JSON.stringify(path)}, a folder, required a file with --raw`);
  if (!isFolder) checkOverwrite(path, force);
  if (!existsSync(dirname(path)))
    throw new UsageError(`TO is ${JSON.stringify(path)}, in a folder that does not exist`);
  const stream = await openStream();
  const began = performance.now();
  try {
    const header = raw ? undefined : await readHeader(stream, plan);
    // For a folder, the name of the file is known only now.
    const target = isFolder ? join(path, nameOf(header!)) : path;
    if (isFolder) checkOverwrite(target, force);
    const size = await store(stream, target, header, plan);
    if (!raw) await stream.write('{"ok":true}\n', waitOptions(plan));
    await stream.end({ timeout: RECEIVER_END_TIMEOUT });
    report(output, "received", target, size, performance.now() - began);
  } catch (error) {
    // The sender waits for an answer, so the receiver answers with the error.
    if (!raw)
      await stream
        .write(`${JSON.stringify({ error: (error as Error).message })}\n`, { timeout: ERROR_TIMEOUT })
        .catch(() => undefined);
    await stream.close().catch(() => undefined);
    throw error;
  }
}

function checkOverwrite(path: string, force: boolean): void {
  if (!force && existsSync(path))
    throw new UsageError(`TO is ${JSON.stringify(path)}, which exists, required --force to replace it`);
}

/** The last part of the name in the header, so that the sender can't choose the folder. */
function nameOf({ name }: Header): string {
  const last = basename(name.replaceAll("\0", ""));
  if (last === "" || last === "." || last === "..")
    throw new Failure(`the sender names the file ${JSON.stringify(name)}, required a name that is not a folder`);
  return last;
}

async function readHeader(stream: Stream, plan: TransferPlan): Promise<Header> {
  const { berkeley, version, name, size } = parseObject(await readHeaderLine(stream, plan), "a header line");
  const isKnownFormat = berkeley === "file" && version === 1;
  const isSize = Number.isSafeInteger(size) && (size as number) >= 0;
  if (!isKnownFormat || typeof name !== "string" || !isSize) {
    throw new Failure(
      "the first line of the peer is no header of berkeley file; use --raw to receive bytes without a header",
    );
  }
  return { name, size: size as number };
}

/** Parses a line as a JSON object. `expected` names the line in errors. */
function parseObject(line: string | null, expected: string): Record<string, unknown> {
  if (line === null) throw new Failure(`the peer finished before ${expected}`);
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // The error below covers this case too.
  }
  throw new Failure(
    `the peer sends ${JSON.stringify(escapeLine(line.slice(0, 60)))}, required ${expected}; ` +
      "use --raw to receive bytes without a header",
  );
}

/** Receives into a new file in the folder of `target`, and renames it to `target`. Returns the number of bytes. */
async function store(stream: Stream, target: string, header: Header | undefined, plan: TransferPlan): Promise<number> {
  const partialPath = join(dirname(target), `.${basename(target)}.${process.pid}.part`);
  let file: FileHandle;
  try {
    file = await open(partialPath, "wx");
  } catch (error) {
    throw new Failure(`cannot write ${JSON.stringify(target)}: ${(error as Error).message}`);
  }
  try {
    const size = await receiveBytes(stream, file, header?.size, plan);
    await file.sync();
    await file.close();
    await rename(partialPath, target);
    return size;
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(partialPath, { force: true });
    throw error;
  }
}

/**
 * Receives `size` bytes into the file, and compares their checksum with the sender's. If `size` is undefined (--raw),
 * receives all bytes until the sender has finished. Returns the number of bytes.
 */
async function receiveBytes(
  stream: Stream,
  file: FileHandle,
  size: number | undefined,
  plan: TransferPlan,
): Promise<number> {
  const { output } = plan;
  const progress = new Progress(output, size);
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
  let received = 0;
  try {
    const end = size ?? Infinity;
    while (received < end) {
      const limit = Math.min(BUFFER_SIZE, end - received);
      const length = await stream.read(buffer.subarray(0, limit), waitOptions(plan));
      if (length === 0) break;
      for (let at = 0; at < length;) at += (await file.write(buffer, at, length - at)).bytesWritten;
      if (size !== undefined) hash.update(buffer.subarray(0, length));
      received += length;
      progress.set(received);
    }
  } finally {
    progress.end();
  }
  if (size === undefined) return received;
  if (received < size) throw new Failure(`the sender finished after ${received} of ${size} bytes`);
  const { sha256 } = parseObject(await readLastLine(stream, plan), "the checksum");
  if (sha256 !== hash.digest("hex"))
    throw new Failure("the checksum does not match the received bytes; the file was not written");
  return received;
}

function report(output: Output, event: "sent" | "received", path: string, size: number, milliseconds: number): void {
  const rounded = Math.round(milliseconds);
  output.result(
    { event, file: path, size, milliseconds: rounded },
    () =>
      `${event} ${escapeLine(path)}: ${formatBytes(size)} in ${formatTime(milliseconds)} ` +
      `(${formatRate(size, milliseconds)})`,
  );
}
