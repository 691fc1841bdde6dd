"""A broker's address that stands between it and its clients: counts requests, loses answers, and cuts connections.

    proxy = Proxy("127.0.0.21", broker_port)      # .address is where clients connect; `target` may change later
    proxy.requests[3]                             # Metadata requests until now
    proxy.lose(0, every=50)                       # of Produce answers each 50th is lost: the connection is cut instead
"""
import collections
import contextlib
import socket
import struct
import threading

PRODUCE, FETCH, METADATA, API_VERSIONS = 0, 1, 3, 18


class Proxy:
    def __init__(self, host, port, target=None):
        self.listener = socket.create_server((host, port))
        self.address = f"{host}:{self.listener.getsockname()[1]}"
        self.target = target
        self.requests = collections.Counter()
        self.connections = 0  # accepted, whether the broker was there or not
        self.lost = 0
        self.losses = {}
        self.open = set()
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, key, every):
        """Every so many answers to this API, the connection is cut in place of the answer; 0: no more."""
        self.losses = {**self.losses, key: every}

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            host, port = self.target.rsplit(":", 1)
            broker = socket.create_connection((host, int(port)), 5)
        except (OSError, AttributeError):
            client.close()
            return
        broker.settimeout(None)
        keys = {}
        with self.lock:
            self.open |= {client, broker}
        back = threading.Thread(target=self._answers, args=(client, broker, keys), daemon=True)
        back.start()
        try:
            while True:
                frame = read_frame(client)
                key, _version, correlation = struct.unpack(">hhi", frame[4:12])
                with self.lock:
                    self.requests[key] += 1
                    keys[correlation] = key
                broker.sendall(frame)
        except OSError:
            pass
        finally:
            self._drop(client, broker)

    def _answers(self, client, broker, keys):
        try:
            while True:
                frame = read_frame(broker)
                key = keys.pop(struct.unpack(">i", frame[4:8])[0], None)
                if self._is_lost(key):
                    break
                client.sendall(frame)
        except OSError:
            pass
        finally:
            self._drop(client, broker)

    def _is_lost(self, key):
        every = self.losses.get(key, 0)
        if not every:
            return False
        with self.lock:
            self.requests["answers", key] += 1
            gone = self.requests["answers", key] % every == 0
            self.lost += gone
            return gone

    def _drop(self, *ends):
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self.lock:
            self.open -= set(ends)

    def cut(self):
        """Ends all connections that there are."""
        with self.lock:
            ends = list(self.open)
        self._drop(*ends)

    def close(self):
        self.listener.close()
        self.cut()


def read_frame(source):
    data = receive(source, 4)
    return data + receive(source, struct.unpack(">i", data)[0])


def receive(source, size):
    data = b""
    while len(data) < size:
        piece = source.recv(size - len(data))
        if not piece:
            raise ConnectionError("closed")
        data += piece
    return data
