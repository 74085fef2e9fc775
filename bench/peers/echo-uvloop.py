# A TCP echo server on uvloop. It uses an asyncio.Protocol, the fastest interface of uvloop.
import asyncio
import gc
import json
import sys

import uvloop


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)

    def collect():
        if sys.stdin.readline() == "":
            loop.remove_reader(sys.stdin)
            return
        gc.collect()
        print('{"collected":true}', flush=True)

    if "collect" in sys.argv:
        loop.add_reader(sys.stdin, collect)
    await server.serve_forever()


uvloop.install()
asyncio.run(main())
