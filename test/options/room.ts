// A receiver of multicast on lo, and its senders.
//
// To show without waiting that a datagram does not arrive, a second datagram is sent to the receiver itself, and is the
// next to arrive. On lo the datagrams of a sender arrive in order.
import {
  AF_INET,
  AF_INET6,
  IP_MULTICAST_ALL,
  IP_MULTICAST_IF,
  IPV6_MULTICAST_ALL,
  IPV6_MULTICAST_IF,
  type MulticastInterface,
  SOCK_DGRAM,
  Socket,
  SocketError,
} from "berkeley";

const timeout = { timeout: 10_000 };

/**
 * A receiver on the wildcard, which receives only from groups that it has joined, and senders with different addresses.
 */
export class Room {
  readonly receiver: Socket;
  readonly #loopback: string;
  readonly #senders: readonly Socket[];
  #marks = 0;

  private constructor(receiver: Socket, loopback: string, senders: readonly Socket[]) {
    this.receiver = receiver;
    this.#loopback = loopback;
    this.#senders = senders;
  }

  static async v4(sources: readonly string[] = ["127.0.0.1"], via: MulticastInterface = "127.0.0.1"): Promise<Room> {
    const receiver = new Socket(AF_INET, SOCK_DGRAM);
    receiver.setsockopt(IP_MULTICAST_ALL, false);
    await receiver.bind("0.0.0.0:0");
    const senders: Socket[] = [];
    for (const source of sources) {
      const sender = new Socket(AF_INET, SOCK_DGRAM);
      await sender.bind([source, 0]);
      sender.setsockopt(IP_MULTICAST_IF, via);
      senders.push(sender);
    }
    return new Room(receiver, "127.0.0.1", senders);
  }

  static async v6(): Promise<Room> {
    const receiver = new Socket(AF_INET6, SOCK_DGRAM);
    receiver.setsockopt(IPV6_MULTICAST_ALL, false);
    await receiver.bind("[::]:0");
    const sender = new Socket(AF_INET6, SOCK_DGRAM);
    await sender.bind("[::1]:0");
    sender.setsockopt(IPV6_MULTICAST_IF, "lo");
    return new Room(receiver, "::1", [sender]);
  }

  get port(): number {
    return (this.receiver.getsockname() as { readonly port: number }).port;
  }

  /** Sends a datagram from each sender to `group`. Resolves with the sources of those that arrive. */
  async heard(group: string): Promise<string[]> {
    for (const sender of this.#senders) {
      await sender.sendto((sender.getsockname() as { readonly host: string }).host, [group, this.port], timeout);
    }
    const mark = `mark ${this.#marks++}`;
    await this.#senders.at(-1)!.sendto(mark, [this.#loopback, this.port], timeout);
    const found: string[] = [];
    for (;;) {
      const text = String(await this.receiver.recv(100, timeout));
      if (text === mark) return found;
      found.push(text);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of [this.receiver, ...this.#senders]) socket.close();
  }
}

/** Whether an error has this code. */
export const is: (code: string) => (error: unknown) => boolean =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof SocketError && error.code === code;
