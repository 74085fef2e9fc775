// mqtt, the MQTT client of npm, unchanged, against a real mosquitto, over streams of ours.

import assert from "node:assert/strict";
import { type EventEmitter, once as onceOf } from "node:events";
import type { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { connect, type Stream } from "berkeley";
import { MqttClient } from "mqtt";
import { checkLeaks } from "../support/leaks.js";
import { missing, startMosquitto } from "./support.js";

checkLeaks();

// The client's own types of its events are not those of an emitter.
const once = (client: MqttClient, event: string): Promise<unknown[]> =>
  onceOf(client as unknown as EventEmitter, event);

const ways: readonly [name: string, of: (stream: Stream) => Duplex][] = [
  ["toNetSocket()", (stream) => stream.toNetSocket()],
  ["toDuplex()", (stream) => stream.toDuplex()],
];

/** A client on a connection that we dialled. Its builder of streams must have it at once, so it is dialled before. */
async function open(port: number, of: (stream: Stream) => Duplex, id: string): Promise<MqttClient> {
  const duplex = of(await connect(["127.0.0.1", port]));
  const client = new MqttClient(() => duplex, { clientId: id, keepalive: 10, protocolVersion: 4, reconnectPeriod: 0 });
  await once(client, "connect");
  return client;
}

describe("mqtt against mosquitto", { skip: missing("mosquitto", "mosquitto", "setpriv") }, () => {
  for (const [name, of] of ways) {
    test(`messages of every quality, small and large, over ${name}`, async () => {
      await using server = await startMosquitto();
      const listener = await open(server.port, of, "listener");
      const speaker = await open(server.port, of, "speaker");
      await listener.subscribeAsync("news/#", { qos: 2 });
      const messages: readonly [qos: 0 | 1 | 2, payload: Buffer][] = [
        [0, Buffer.from("at most once")],
        [1, Buffer.from("at least once")],
        [2, Buffer.from("exactly once")],
        [1, Buffer.alloc(300_000, "large")],
      ];
      for (const [index, [qos, payload]] of messages.entries()) {
        const received = once(listener, "message");
        await speaker.publishAsync(`news/${index}`, payload, { qos });
        const [topic, read] = (await received) as [string, Buffer];
        assert.equal(topic, `news/${index}`);
        assert.deepEqual(read, payload);
      }
      await speaker.endAsync();
      await listener.endAsync();
    });

    test(`the will of a client that is cut is published, over ${name}`, async () => {
      await using server = await startMosquitto();
      const heir = await open(server.port, of, "heir");
      await heir.subscribeAsync("wills");
      const read = once(heir, "message");
      const duplex = of(await connect(["127.0.0.1", server.port]));
      const will = { topic: "wills", payload: Buffer.from("all to you"), qos: 0 as const, retain: false };
      const mortal = new MqttClient(() => duplex, { clientId: "mortal", reconnectPeriod: 0, will });
      await once(mortal, "connect");
      mortal.on("error", () => undefined);
      duplex.destroy();
      const [topic, payload] = (await read) as [string, Buffer];
      assert.equal(`${topic}: ${payload.toString()}`, "wills: all to you");
      await mortal.endAsync(true);
      await heir.endAsync();
    });
  }
});
