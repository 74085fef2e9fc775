// The command `listen`: accepts a connection, sends standard input to it, and prints received data.

import { type Command, define, flag, optionWithDefault } from "../frame/command.js";
import { UsageError } from "../frame/failure.js";
import { TLS_SERVER_OPTIONS } from "../frame/tlsOptions.js";
import { wholeNumber } from "../frame/values.js";
import { WHERE_TO_LISTEN } from "../servers/plan.js";
import { TALK_OPTIONS } from "../talk/options.js";

export const command: Command = define({
  name: "listen",
  summary: "accepts a connection, sends standard input, and prints the received data",
  description: [
    "Accepts one connection and ends with it. With --keep-open it accepts any number of connections: standard input " +
      "is sent to all of them, and received data is printed. With datagrams the first sender is the peer.",
    "The command listens on the loopback interface unless the endpoint has another address. A program of --exec is " +
      "run for other machines only with --allow-remote-exec, because the peer controls the input of the program.",
  ],
  arguments: [WHERE_TO_LISTEN],
  options: {
    ...TALK_OPTIONS,
    keepOpen: flag("-k, --keep-open", "accept further connections, several at a time"),
    max: optionWithDefault(
      "-m, --max N",
      "connections at a time with --keep-open, or peers that send datagrams",
      wholeNumber(1, 10_000),
      100,
    ),
    allowRemoteExec: flag("--allow-remote-exec", "run the command of --exec also for peers on other machines"),
    ...TLS_SERVER_OPTIONS,
  },
  examples: [
    { about: "The data of a connection, into a file", command: "berkeley listen 9000 > received" },
    {
      about: "A file to each client, until Ctrl-C",
      command: "berkeley listen 9000 --keep-open --exec 'cat notes.txt'",
    },
    { about: "On every interface, with TLS", command: "berkeley listen 'tls://*:8443' --cert cert.pem --key key.pem" },
    {
      about: "Datagrams of any sender, as hexadecimal numbers",
      command: "berkeley listen udp://127.0.0.1:5353 --keep-open --hex",
    },
    { about: "A UNIX socket, for programs of this machine", command: "berkeley listen /tmp/inbox.sock --keep-open" },
  ],
  exitStatus: [["0", "with --keep-open and with datagrams, also after Ctrl-C"]],
  seeAlso: ["berkeley-connect(1)", "berkeley-chat(1)", "ncat(1)", "socat(1)"],
  async run({ args, options, output, interrupts }) {
    const [{ bindDatagrams, openAcceptor }, { readTarget }, { serverTls }, { StandardInput }] = await Promise.all([
      import("../talk/accept.js"),
      import("../talk/target.js"),
      import("../frame/tlsOptions.js"),
      import("../talk/input.js"),
    ]);
    const target = await readTarget(args[0] ?? "", options);
    const { keepOpen, max, exec, timeout, allowRemoteExec } = options;
    const { isLocal } = await import("../frame/endpoints.js");
    if (exec !== undefined && !allowRemoteExec && !isLocal(target.endpoint)) {
      throw new UsageError(
        "--exec is given with an endpoint that other machines may reach, required --allow-remote-exec too",
      );
    }
    const { signal } = interrupts;
    const onHandshakeError = (error: unknown): void => output.problem(error, "handshake");
    const plan = { ...target, tls: await serverTls(options, target.secure, output), signal, onHandshakeError };
    const announce = (endpoint: string): void =>
      output.note(`listening on ${endpoint}`, { event: "listening", endpoint });
    const input = new StandardInput();
    const { converse } = await import("../talk/converse.js");
    try {
      if (target.endpoint.scheme === "udp" || target.messageType === "datagram") {
        if (exec !== undefined) throw new UsageError("--exec is given with datagrams, required a stream");
        const { BoundChannel } = await import("../talk/channel.js");
        const boundSocket = await bindDatagrams(plan);
        announce(boundSocket.endpoint);
        const onPeer = (peer: string): void => output.detail(`datagrams from ${peer}`, { event: "connected", peer });
        const channel = new BoundChannel(boundSocket, keepOpen ? max : 1, onPeer);
        try {
          // --linger does not apply: datagrams are received until Ctrl-C, which is a normal end.
          await converse({ channel, input, output, options: { ...options, linger: Infinity }, signal });
        } catch (error) {
          if (!signal.aborted) throw error;
        }
        return 0;
      }
      const acceptor = await openAcceptor(plan);
      announce(acceptor.endpoint);
      const { execute } = await import("../talk/exec.js");
      try {
        if (keepOpen) {
          const executeFor =
            exec === undefined ? undefined : (channel: Parameters<typeof execute>[1]) => execute(exec, channel, signal);
          const { serveMany } = await import("../talk/serveMany.js");
          await serveMany({ acceptor, input, output, options: { ...options, max }, signal, execute: executeFor });
          return 0;
        }
        const channel = await acceptor.accept({ signal, ...(timeout === undefined ? {} : { timeout }) });
        // No further connection is accepted.
        await acceptor.close();
        output.detail(`connection from ${channel.name}`, { event: "connected", peer: channel.name });
        if (exec === undefined) await converse({ channel, input, output, options, signal });
        else await execute(exec, channel, signal);
        signal.throwIfAborted();
        return 0;
      } finally {
        await acceptor.close();
      }
    } finally {
      input.close();
    }
  },
});
