// Requests to a peer that answers in unusual ways. The program runs in a network namespace whose kernel answers no echo
// requests, so that only this peer, a raw socket, answers. It prints the events of ping() as JSON.
import assert from "node:assert/strict";
import { AF_INET, IPPROTO_ICMP, SOCK_RAW, Socket } from "berkeley";
import { type Kind, ping, type PingEvent } from "../../examples/ping.js";
import { internetChecksum, withoutHeader } from "../../examples/ping/packet.js";

const REQUEST = 8;
const UNREACHABLE = 3;
const HOST = 1;

function withChecksum(message: Buffer): Buffer {
  message.writeUInt16BE(0, 2);
  message.writeUInt16BE(internetChecksum(message), 2);
  return message;
}

function replyTo(packet: Buffer): Buffer {
  const message = Buffer.from(withoutHeader(packet));
  message[0] = 0;
  return withChecksum(message);
}

/** RFC 792: the header of the packet that could not be delivered, and the first 64 bits of what it carried. */
function unreachable(packet: Buffer): Buffer {
  const start = packet.subarray(0, packet.length - withoutHeader(packet).length + 8);
  return withChecksum(Buffer.concat([Buffer.of(UNREACHABLE, HOST, 0, 0, 0, 0, 0, 0), start]));
}

/** The next request that arrives. */
async function request(peer: Socket): Promise<Buffer> {
  for (;;) {
    const packet = await peer.recv(65536);
    if (withoutHeader(packet)[0] === REQUEST) return packet;
  }
}

async function until(events: AsyncGenerator<PingEvent, void>, type: PingEvent["type"]): Promise<PingEvent> {
  for (;;) {
    const { value, done } = await events.next();
    assert.ok(done !== true, `ping() ended before it told of "${type}"`);
    if (value.type === type) return value;
  }
}

async function scene(kind: Kind): Promise<Record<string, PingEvent>> {
  await using peer = new Socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  const send = (message: Buffer): Promise<number> => peer.sendto(message, ["127.0.0.1", 0]);
  const seen: Record<string, PingEvent> = {};
  const events = ping("127.0.0.1", { kind, interval: 1, wait: 20, count: 1000 });
  await until(events, "sent");
  const first = await request(peer);
  seen["lost"] = await until(events, "lost");
  await send(replyTo(first));
  seen["late"] = await until(events, "reply");
  await send(replyTo(first));
  seen["duplicate"] = await until(events, "reply");
  await events.return();

  await using other = new Socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  const patient = ping("127.0.0.1", { kind, count: 1, wait: 60_000 });
  await until(patient, "sent");
  const packet = await request(other);
  const broken = replyTo(packet);
  broken[20]! ^= 1;
  await send(broken);
  await send(replyTo(packet).subarray(0, 4));
  await send(unreachable(packet));
  seen["error"] = await until(patient, "error");
  await patient.return();
  return seen;
}

process.stdout.write(JSON.stringify({ datagram: await scene("datagram"), raw: await scene("raw") }));
