// Tests of join() and leave() on lo, for multicast.test.ts. Run as a program, it has those of IPv6, in a network
// namespace whose lo has a route for multicast.
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import {
  bindUdp,
  if_nametoindex,
  IP_MULTICAST_ALL,
  IP_MULTICAST_IF,
  IPV6_MULTICAST_ALL,
  IPV6_MULTICAST_IF,
  SocketError,
  type UdpSocket,
} from "berkeley";

/** A scene, and whether it sends multicast of IPv6. */
export interface Scene {
  readonly name: string;
  readonly ipv6: boolean;
  readonly play: () => Promise<void>;
}

export const scenes: Scene[] = [];

const code = (expected: string) => (error: unknown) => {
  assert.ok(error instanceof SocketError, String(error));
  assert.equal(error.code, expected);
  return true;
};

function scene(ipv6: boolean, name: string, play: () => Promise<void>): void {
  scenes.push({ name, ipv6, play });
}

const lo = if_nametoindex("lo");
const patience = { timeout: 10_000 };

/** A receiver that receives only from groups that it has joined itself. */
async function receiverOf(endpoint: string | readonly [string, number]): Promise<UdpSocket> {
  const receiver = await bindUdp(endpoint);
  receiver.socket.setsockopt(IP_MULTICAST_ALL, false);
  if (receiver.address.host.includes(":")) receiver.socket.setsockopt(IPV6_MULTICAST_ALL, false);
  return receiver;
}

/**
 * Sends to the groups, and then to the receiver itself. On lo datagrams of a sender arrive in their order, so what came
 * before the last one is all that comes.
 */
async function receivedFrom(receiver: UdpSocket, sender: UdpSocket, ...groups: readonly string[]): Promise<string[]> {
  const { port } = receiver.address;
  for (const group of groups) await sender.send(group, [group, port]);
  await sender.send("end", [sender.address.host, port]);
  const got: string[] = [];
  for (;;) {
    const text = String((await receiver.receive(patience)).data);
    if (text === "end") return got;
    got.push(text);
  }
}

async function senderOf(host: string): Promise<UdpSocket> {
  const sender = await bindUdp(host.includes(":") ? `udp://[${host}]:0` : `udp://${host}:0`);
  if (host.includes(":")) sender.socket.setsockopt(IPV6_MULTICAST_IF, "lo");
  else sender.socket.setsockopt(IP_MULTICAST_IF, "lo");
  return sender;
}

const FAMILIES = [
  { name: "IPv4", wildcard: "udp://0.0.0.0:0", host: "127.0.0.1", other: "127.0.0.2", group: "239.255.78.1" },
  { name: "IPv6", wildcard: "udp://[::]:0", host: "::1", other: undefined, group: "ff15::7801" },
] as const;

for (const { name, wildcard, host, other, group } of FAMILIES) {
  for (const [how, via] of [
    ["the name", "lo"],
    ["the index", lo],
    ["an address", host],
  ] as const) {
    scene(name === "IPv6", `join() and leave() take ${how} of an interface, ${name}`, async () => {
      await using receiver = await receiverOf(wildcard);
      await using sender = await senderOf(host);
      assert.deepEqual(await receivedFrom(receiver, sender, group), []);
      receiver.join(group, { interface: via });
      assert.deepEqual(await receivedFrom(receiver, sender, group), [group]);
      assert.throws(() => receiver.join(group, { interface: "lo" }), code("EADDRINUSE"));
      receiver.leave(group, { interface: via });
      assert.deepEqual(await receivedFrom(receiver, sender, group), []);
      assert.throws(() => receiver.leave(group, { interface: via }), code("EADDRNOTAVAIL"));
    });
  }

  scene(name === "IPv6", `a group that was joined by name is left by index and by address, ${name}`, async () => {
    await using receiver = await receiverOf(wildcard);
    receiver.join(group, { interface: "lo" });
    receiver.leave(group, { interface: lo });
    receiver.join(group, { interface: lo });
    receiver.leave(group, { interface: host });
    receiver.join(group, { interface: host });
    receiver.leave(group, { interface: "lo" });
  });

  scene(name === "IPv6", `join() with a source receives from that source only, ${name}`, async () => {
    await using receiver = await receiverOf(wildcard);
    await using sender = await senderOf(host);
    const stranger = name === "IPv4" ? "127.0.0.9" : "2001:db8::9";
    receiver.join(group, { interface: "lo", source: stranger });
    assert.deepEqual(await receivedFrom(receiver, sender, group), []);
    receiver.join(group, { interface: "lo", source: host });
    assert.deepEqual(await receivedFrom(receiver, sender, group), [group]);
    if (other !== undefined) {
      await using another = await senderOf(other);
      assert.deepEqual(await receivedFrom(receiver, another, group), []);
    }
    assert.throws(() => receiver.join(group, { interface: "lo", source: host }), code("EADDRNOTAVAIL"));
    receiver.leave(group, { interface: "lo", source: host });
    assert.deepEqual(await receivedFrom(receiver, sender, group), []);
    receiver.leave(group, { interface: "lo", source: stranger });
    receiver.join(group, { interface: "lo" });
    assert.deepEqual(await receivedFrom(receiver, sender, group), [group]);
    receiver.join(group, { interface: "lo", source: stranger });
    assert.deepEqual(await receivedFrom(receiver, sender, group), []);
    receiver.leave(group, { interface: "lo" });
    assert.throws(() => receiver.leave(group, { interface: "lo", source: stranger }), code("EINVAL"));
  });

  scene(name === "IPv6", `an error of the kernel names the group, ${name}`, async () => {
    await using receiver = await receiverOf(wildcard);
    assert.throws(
      () => receiver.leave(group, { interface: "lo" }),
      (error) => error instanceof SocketError && error.address === group && error.code === "EADDRNOTAVAIL",
    );
    for (const unknown of [
      "no-such-if",
      "an-interface-name-that-is-too-long",
      host === "::1" ? "2001:db8::77" : "192.0.2.7",
    ]) {
      assert.throws(() => receiver.join(group, { interface: unknown }), code("ENODEV"));
    }
    assert.throws(() => receiver.join(group, { interface: 0x7fff_fff0 }), code("ENODEV"));
    await receiver.close();
    assert.throws(() => receiver.join(group, { interface: "lo" }), code("EBADF"));
    assert.throws(() => receiver.leave(group), code("EBADF"));
  });
}

scene(true, "a socket at the wildcard of both families joins groups of both", async () => {
  await using receiver = await receiverOf(["", 0]);
  await using four = await senderOf("127.0.0.1");
  await using six = await senderOf("::1");
  receiver.join("239.255.78.2", { interface: "lo" });
  receiver.join("ff15::7802", { interface: "lo" });
  assert.deepEqual(await receivedFrom(receiver, four, "239.255.78.2", "239.255.78.3"), ["239.255.78.2"]);
  assert.deepEqual(await receivedFrom(receiver, six, "ff15::7802", "ff15::7803"), ["ff15::7802"]);
  receiver.leave("239.255.78.2", { interface: "lo" });
  receiver.leave("ff15::7802", { interface: "lo" });
  assert.deepEqual(await receivedFrom(receiver, four, "239.255.78.2"), []);
  assert.deepEqual(await receivedFrom(receiver, six, "ff15::7802"), []);
});

scene(true, "the zone of a group is its interface", async () => {
  await using receiver = await receiverOf("udp://[::]:0");
  await using sender = await senderOf("::1");
  receiver.join("ff12::7804%lo");
  assert.deepEqual(await receivedFrom(receiver, sender, "ff12::7804"), ["ff12::7804"]);
  assert.throws(() => receiver.join("ff12::7804", { interface: "lo" }), code("EADDRINUSE"));
  receiver.leave(`ff12::7804%${lo}`, { interface: "lo" });
  assert.throws(() => receiver.join("ff12::7804%no-such-if"), code("ENODEV"));
  assert.throws(
    () => receiver.join("ff12::7804%lo", { interface: lo + 1 }),
    /^TypeError: Cannot join: interface is \d+, required the interface of the zone, because group is "ff12::7804%lo"/,
  );
});

scene(false, "send() takes the name or an address of the interface as ifindex", async () => {
  await using receiver = await receiverOf("udp://0.0.0.0:0");
  await using sender = await bindUdp("udp://127.0.0.1:0");
  receiver.join("239.255.78.5", { interface: "lo" });
  for (const ifindex of ["lo", lo, "127.0.0.1"]) {
    await sender.send("via", ["239.255.78.5", receiver.address.port], { ifindex });
    assert.equal((await receiver.receive(patience)).ifindex, lo);
  }
  await assert.rejects(sender.send("x", ["239.255.78.5", 9], { ifindex: "no-such-if" }), code("ENODEV"));
  await assert.rejects(
    sender.send("x", ["239.255.78.5", 9], { ifindex: "" }),
    /^TypeError: Cannot send: ifindex is ""/,
  );
});

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const { ipv6, name, play } of scenes) {
    if (!ipv6) continue;
    await play();
    console.log(name);
  }
}
