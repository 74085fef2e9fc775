"""The seven steps with Python's socket: as a server or as a client, over IPv4 or IPv6.

    seven_steps.py server 127.0.0.1|::1          prints the port, then what came and from where
    seven_steps.py client 127.0.0.1|::1 PORT     prints what came back
"""

import socket
import sys

role, host = sys.argv[1:3]
family = socket.AF_INET6 if ":" in host else socket.AF_INET


def until(conn, end):
    """Receives until the bytes end with `end`: a stream has no messages."""
    data = b""
    while not data.endswith(end):
        part = conn.recv(1024)
        if not part:
            sys.exit(f"the connection ended after {data!r}")
        data += part
    return data.decode()


if role == "server":
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind((host, 0))
        server.listen(5)
        print("port", server.getsockname()[1], flush=True)
        conn, address = server.accept()
        with conn:
            print("from", address[0], address[1], flush=True)
            print("received", until(conn, b"Server"), flush=True)
            conn.sendall(b"Welcome to my server")
            # The peer finishes, and only then we do.
            print("then", len(conn.recv(1024)), "bytes", flush=True)
else:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.connect((host, int(sys.argv[3])))
        client.sendall(b"Hello, Server")
        print("received", until(client, b"server"), flush=True)
        client.shutdown(socket.SHUT_WR)
        print("then", len(client.recv(1024)), "bytes", flush=True)
