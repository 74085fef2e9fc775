// The options that the commands `connect` and `listen` have in common.

import { flag, list, option, optionWithDefault, type OptionSpec, type OptionValues } from "../frame/command.js";
import { duration, text } from "../frame/values.js";

// A type alias, because `OptionValues` requires an index signature, and an interface has no implicit one.
export type TalkOptions = {
  readonly udp: OptionSpec<boolean>;
  readonly datagram: OptionSpec<boolean>;
  readonly seqpacket: OptionSpec<boolean>;
  readonly crlf: OptionSpec<boolean>;
  readonly line: OptionSpec<boolean>;
  readonly hex: OptionSpec<boolean>;
  readonly noShutdown: OptionSpec<boolean>;
  readonly sendOnly: OptionSpec<boolean>;
  readonly receiveOnly: OptionSpec<boolean>;
  readonly timeout: OptionSpec<number | undefined>;
  readonly idle: OptionSpec<number | undefined>;
  readonly linger: OptionSpec<number>;
  readonly exec: OptionSpec<string | undefined>;
  readonly option: OptionSpec<readonly string[]>;
};

export type TalkValues = OptionValues<TalkOptions>;

export const TALK_OPTIONS: TalkOptions = {
  udp: flag("-u, --udp", "datagrams of UDP, the same as the scheme udp://; with a UNIX socket the same as --datagram"),
  datagram: flag("--datagram", "datagrams of a UNIX socket"),
  seqpacket: flag("--seqpacket", "messages of a UNIX socket, in order (SOCK_SEQPACKET)"),
  crlf: flag("--crlf", "send CR LF at the end of each line"),
  line: flag("--line", "send whole lines only: each in one write, or one datagram"),
  hex: flag("--hex", "print received and sent data as hexadecimal numbers, and not the received data itself"),
  noShutdown: flag("--no-shutdown", "do not finish the sending direction at the end of standard input"),
  sendOnly: flag("--send-only", "receive nothing, and end when all is sent"),
  receiveOnly: flag("--receive-only", "read no standard input"),
  timeout: option("-w, --timeout TIME", "give up when there is no connection after this time", duration),
  idle: option("-i, --idle TIME", "give up after this time without data in either direction", duration),
  linger: optionWithDefault(
    "--linger TIME",
    "end after this time without data: for a stream, once the peer has finished and standard input is a pipe; for " +
      "datagrams, once standard input has ended",
    duration,
    500,
    "500ms",
  ),
  exec: option(
    "-e, --exec COMMAND",
    "run a command with /bin/sh for the connection, instead of standard input and output",
    text,
  ),
  option: list(
    "--option NAME=VALUE",
    "set a socket option before connecting or listening, such as TCP_NODELAY=1",
    text,
  ),
};
