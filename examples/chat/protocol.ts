// The protocol of the chat. A command and an answer is a line, or a WebSocket message without a line end.
//
//   client                      server
//   NICK nick [session]         NICK nick session
//   JOIN room [number]          JOIN room number
//   LEAVE room                  LEAVE room
//   SEND room id text           ACK room id number
//   PING [text]                 PONG [text]
//   QUIT                        (the end of the connection)
//
// Each command has one answer, in the order of the commands: the line above, or `ERR code text`. Between the answers
// the server sends messages and notices:
//
//   MSG room number nick text
//   * code text                 welcome, goaway, store-lost, store-back
//
// The messages of a room arrive in the order of their numbers. The order of a message and its ACK is not defined, and
// neither is that of messages of two rooms. Words are separated by one space. A text can have any bytes except LF, so
// it can have any encoding.

/** Maximum length of a line in bytes, without its end. */
export const MAX_LINE = 4096;

/** A room, a nickname, a session. */
const NAME = /^[A-Za-z0-9_-]{1,32}$/;
/** The number that a client gives to a message. */
const ID = /^[A-Za-z0-9_-]{1,64}$/;
const NUMBER = /^(?:0|[1-9]\d{0,15})$/;

const LF = 10;
const SPACE = 32;

export type Command =
  | { readonly verb: "NICK"; readonly nick: string; readonly session: string | undefined }
  | { readonly verb: "JOIN"; readonly room: string; readonly after: number | undefined }
  | { readonly verb: "LEAVE"; readonly room: string }
  | { readonly verb: "SEND"; readonly room: string; readonly id: string; readonly text: Buffer }
  | { readonly verb: "PING"; readonly text: Buffer }
  | { readonly verb: "QUIT" };

export type Event =
  | { readonly kind: "answer"; readonly verb: string; readonly words: readonly string[] }
  | { readonly kind: "refusal"; readonly code: string; readonly text: string }
  | { readonly kind: "notice"; readonly code: string; readonly text: string }
  | {
      readonly kind: "message";
      readonly room: string;
      readonly number: number;
      readonly nick: string;
      readonly text: Buffer;
    };

/** The error for a line that is refused. Its code and its message are the answer. */
export class Refusal extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const malformed = (what: string): Refusal => new Refusal("malformed", what);

/** The first `count` words of a line, and the bytes after them: `rest`, undefined if the line has no more bytes. */
function split(line: Buffer, count: number): { words: string[]; rest: Buffer | undefined } {
  const words: string[] = [];
  let at = 0;
  while (words.length < count) {
    const end = line.indexOf(SPACE, at);
    words.push(line.toString("latin1", at, end < 0 ? line.length : end));
    if (end < 0) return { words, rest: undefined };
    at = end + 1;
  }
  return { words, rest: line.subarray(at) };
}

function number(word: string): number {
  const value = Number(word);
  if (!NUMBER.test(word) || !Number.isSafeInteger(value)) throw malformed("a number of a message is a decimal number");
  return value;
}

function name(word: string | undefined, what: string): string {
  if (word === undefined || !NAME.test(word)) throw malformed(`a ${what} is 1 to 32 letters, digits, "-" or "_"`);
  return word;
}

/** @throws Refusal */
export function parseCommand(line: Buffer): Command {
  if (line.length > MAX_LINE) throw new Refusal("too-long", `a line has at most ${MAX_LINE} bytes`);
  if (line.includes(LF)) throw malformed("a command is one line");
  const { words, rest } = split(line, 1);
  const [verb] = words;
  // The bytes after the verb as words. A text is not decoded.
  const given = (most: number): string[] => {
    const all = rest === undefined ? [] : split(rest, most);
    if (Array.isArray(all)) return all;
    if (all.rest !== undefined) throw malformed(`${verb} has too many words`);
    return all.words;
  };
  switch (verb) {
    case "NICK": {
      const [nick, session] = given(2);
      return { verb, nick: name(nick, "nickname"), session: session && name(session, "session") };
    }
    case "JOIN": {
      const [room, after] = given(2);
      return { verb, room: name(room, "room"), after: after === undefined ? undefined : number(after) };
    }
    case "LEAVE":
      return { verb, room: name(given(1)[0], "room") };
    case "SEND": {
      const parts = rest && split(rest, 2);
      if (parts?.rest === undefined || parts.rest.length === 0) throw malformed("required SEND room id text");
      const [room, id = ""] = parts.words;
      if (!ID.test(id)) throw malformed(`an id is 1 to 64 letters, digits, "-" or "_"`);
      return { verb, room: name(room, "room"), id, text: parts.rest };
    }
    case "PING":
      return { verb, text: rest ?? Buffer.alloc(0) };
    case "QUIT":
      if (rest !== undefined) throw malformed("QUIT has no words");
      return { verb };
    default:
      throw new Refusal("unknown", "the commands are NICK, JOIN, LEAVE, SEND, PING and QUIT");
  }
}

/** A line of the server, with its end. */
export const line = (text: string): Buffer => Buffer.from(`${text}\n`);

export function messageLine(room: string, count: number, nick: string, text: Uint8Array): Buffer {
  const head = `MSG ${room} ${count} ${nick} `;
  const bytes = Buffer.allocUnsafe(head.length + text.length + 1);
  bytes.write(head, "latin1");
  bytes.set(text, head.length);
  bytes[bytes.length - 1] = LF;
  return bytes;
}

/** Reads a line of the server, without its end. */
export function parseEvent(bytes: Buffer): Event {
  const { words, rest = Buffer.alloc(0) } = split(bytes, 1);
  const [verb = ""] = words;
  switch (verb) {
    case "MSG": {
      const { words: fields, rest: text } = split(rest, 3);
      const [room, count = "", nick] = fields;
      if (text === undefined) throw malformed("MSG lacks words");
      return { kind: "message", room: name(room, "room"), number: number(count), nick: name(nick, "nickname"), text };
    }
    case "*":
    case "ERR": {
      const { words: fields, rest: text } = split(rest, 1);
      const kind = verb === "*" ? "notice" : "refusal";
      return { kind, code: fields[0] ?? "", text: text?.toString() ?? "" };
    }
    case "NICK":
    case "JOIN":
    case "LEAVE":
    case "ACK":
    case "PONG":
      return { kind: "answer", verb, words: rest.toString().split(" ") };
    default:
      throw malformed("no line of the chat");
  }
}
