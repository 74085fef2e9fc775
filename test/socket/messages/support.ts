// Pairs of sockets for messages, and functions that find control messages.
import { AF_INET, AF_INET6, type ControlMessage, SO_RCVBUF, SOCK_DGRAM, SOCK_STREAM, Socket } from "berkeley";

/** Two sockets that are closed together. */
export type Pair = readonly [one: Socket, other: Socket] & AsyncDisposable;

/** Closes both when the block ends in which they are: `await using pair = closing(socketpair())`. */
export function closing(sockets: readonly [Socket, Socket]): Pair {
  return Object.assign([...sockets] as const, {
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of sockets) socket.close();
    },
  });
}

/** A UDP socket that receives, and one that is connected to it. */
export async function udpPair(family: number = AF_INET): Promise<Pair> {
  const receiver = new Socket(family, SOCK_DGRAM);
  await receiver.bind([family === AF_INET6 ? "::1" : "127.0.0.1", 0]);
  const sender = new Socket(family, SOCK_DGRAM);
  await sender.connect(receiver.getsockname());
  return closing([receiver, sender]);
}

/** The two ends of a TCP connection; `rcvbuf` is the size of the accepted end's receive buffer. */
export async function tcpPair(rcvbuf?: number): Promise<Pair> {
  await using server = new Socket(AF_INET, SOCK_STREAM);
  if (rcvbuf !== undefined) server.setsockopt(SO_RCVBUF, rcvbuf);
  await server.bind("127.0.0.1:0");
  server.listen(1);
  const client = new Socket(AF_INET, SOCK_STREAM);
  await client.connect(server.getsockname());
  const [accepted] = await server.accept();
  return closing([accepted, client]);
}

type OfType<Type, Any = ControlMessage> = Any extends { readonly type: infer Its }
  ? Type extends Its
    ? Any
    : never
  : never;

/** The message of this type, which must be there once. */
export function only<Type extends ControlMessage["type"]>(
  control: readonly ControlMessage[],
  type: Type,
): OfType<Type> {
  const found = control.filter((message) => message.type === type);
  if (found.length !== 1)
    throw new Error(`there are ${found.length} messages of type ${type} among ${JSON.stringify(control)}`);
  return found[0] as OfType<Type>;
}
