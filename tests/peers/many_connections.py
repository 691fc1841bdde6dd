#!/usr/bin/env python3
"""Opens many connections to a broker at once and keeps them: many_connections.py HOST PORT COUNT.

Each connection asks ApiVersions and reads the answer. Prints "open N", waits for a line, asks again on each, prints
"served N", waits for a line, closes them all and ends. A process of its own, so that its descriptors are not the runner's."""
import resource
import select
import socket
import struct
import sys

REQUEST = struct.pack(">ihhih", 14, 18, 0, 1, 4) + b"many"


WINDOW = 40  # connections that are not answered yet: fewer than the broker's backlog (socket.listen.backlog.size)


def connect_all(host, port, count):
    poller, waiting, connected = select.epoll(), {}, []
    started = 0
    while len(connected) < count:
        while started < count and len(waiting) < WINDOW:
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((host, port))
            waiting[one.fileno()] = one
            poller.register(one.fileno(), select.EPOLLOUT)
            started += 1
        for descriptor, event in poller.poll(30) or sys.exit(f"only {len(connected)} connections were served"):
            one = waiting[descriptor]
            error = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                sys.exit(f"connection {len(connected)}: error {error}")
            if event & select.EPOLLOUT:
                one.sendall(REQUEST)
                poller.modify(descriptor, select.EPOLLIN)
                continue
            poller.unregister(descriptor)
            one.settimeout(60)
            answer(one, len(connected))
            connected.append(waiting.pop(descriptor))
    return connected


def answer(one, number):
    missing, data = 4, b""
    while missing > 0:
        piece = one.recv(missing)
        if not piece:
            sys.exit(f"connection {number} was closed")
        data += piece
        missing -= len(piece)
        if missing == 0 and len(data) == 4:
            missing = struct.unpack(">i", data)[0]
    if struct.unpack(">ih", data[4:10]) != (1, 0):
        sys.exit(f"connection {number}: a wrong answer")


def ask_all(connections):
    for one in connections:
        one.sendall(REQUEST)
    for number, one in enumerate(connections):
        answer(one, number)


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = connect_all(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(f"open {len(connections)}", flush=True)
    sys.stdin.readline()
    ask_all(connections)
    print(f"served {len(connections)}", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
