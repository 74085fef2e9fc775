// Addresses that do not answer, made with sockets only: a listener with a full accept queue drops every SYN.
//
// With a backlog of 0, listen(2) accepts one connection into the queue (tcp_acceptq_is_full in include/net/sock.h: more
// than the backlog). After that, a SYN gets no answer, and the client sends it again after a second.

import { AF_INET, AF_INET6, Socket, SOCK_STREAM } from "berkeley";

export class BlackHole implements AsyncDisposable {
  readonly listener: Socket;
  readonly port: number;
  readonly #plug: Socket;

  private constructor(listener: Socket, plug: Socket) {
    this.listener = listener;
    this.#plug = plug;
    this.port = (listener.getsockname() as { port: number }).port;
  }

  static async open(host: string, port = 0): Promise<BlackHole> {
    const family = host.includes(":") ? AF_INET6 : AF_INET;
    const listener = new Socket(family, SOCK_STREAM);
    await listener.bind([host, port]);
    listener.listen(0);
    const plug = new Socket(family, SOCK_STREAM);
    await plug.connect(listener.getsockname());
    return new BlackHole(listener, plug);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#plug.close();
    this.listener.close();
  }
}
