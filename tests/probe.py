#!/usr/bin/env python3
"""Asks a service whether it truly answers; standard library only.

    probe.py rabbitmq PORT MANAGEMENT_PORT   AMQP handshake, then the management API
    probe.py mongodb PORT [REPLICA_SET]      a writable primary; begins the replica set if nobody has

Exit code 0: it answers. 1: not (yet); the reason on stderr.
"""
import base64
import socket
import struct
import sys
import urllib.request

TIMEOUT = 2


def bson(document):
    body = b""
    for key, value in document.items():
        name = key.encode() + b"\0"
        if isinstance(value, str):
            text = value.encode() + b"\0"
            body += b"\x02" + name + struct.pack("<i", len(text)) + text
        elif isinstance(value, int):
            body += b"\x10" + name + struct.pack("<i", value)
        elif isinstance(value, list):
            body += b"\x04" + name + bson({str(i): item for i, item in enumerate(value)})
        else:
            body += b"\x03" + name + bson(value)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def exactly(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise OSError("connection closed")
        data += part
    return data


def command(connection, document):
    """Sends one OP_MSG and returns the reply's raw BSON: enough to look for a key in."""
    body = struct.pack("<IB", 0, 0) + bson({**document, "$db": "admin"})
    connection.sendall(struct.pack("<iiii", len(body) + 16, 1, 0, 2013) + body)
    size = struct.unpack("<i", exactly(connection, 4))[0]
    return exactly(connection, size - 4)


def mongodb(port, replica_set=None):
    with socket.create_connection(("127.0.0.1", int(port)), TIMEOUT) as connection:
        hello = command(connection, {"hello": 1})
        if b"\x08isWritablePrimary\0\x01" in hello:
            return
        if replica_set and b"setName\0" not in hello:
            member = {"_id": 0, "host": f"127.0.0.1:{port}"}
            command(connection, {"replSetInitiate": {"_id": replica_set, "members": [member]}})
    raise OSError("no writable primary yet")


def rabbitmq(port, management_port):
    with socket.create_connection(("127.0.0.1", int(port)), TIMEOUT) as connection:
        connection.sendall(b"AMQP\0\0\x09\x01")
        if exactly(connection, 1) != b"\x01":
            raise OSError("no AMQP 0-9-1 greeting")
    request = urllib.request.Request(f"http://127.0.0.1:{management_port}/api/overview")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    direct.open(request, timeout=TIMEOUT).read()


if __name__ == "__main__":
    try:
        {"rabbitmq": rabbitmq, "mongodb": mongodb}[sys.argv[1]](*sys.argv[2:])
    except OSError as reason:
        sys.exit(f"{sys.argv[1]}: {reason}")
