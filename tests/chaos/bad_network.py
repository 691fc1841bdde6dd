"""A TCP proxy that spoils connections when told to: cuts them, lets bytes wait, loses them, closes one half."""
import asyncio
import contextlib
import socket
import struct
import threading


class Link:
    """One connection: two pumps."""

    def __init__(self, proxy, reader, writer):
        self.proxy = proxy
        self.near = reader, writer
        self.far = None
        self.cut_after = None  # bytes that still pass before the connection is reset

    async def run(self):
        try:
            self.far = await asyncio.open_connection(*self.proxy.target)
        except OSError:
            self.reset()
            return
        pumps = [asyncio.create_task(self.pump(self.near[0], self.far[1])), asyncio.create_task(self.pump(self.far[0], self.near[1]))]
        try:
            await asyncio.gather(*pumps)
        except (OSError, RuntimeError):  # RuntimeError: written to the half that was closed
            self.reset()
        finally:
            for pump in pumps:
                pump.cancel()
            for _, writer in (self.near, self.far):
                writer.close()

    async def pump(self, reader, writer):
        while data := await reader.read(65536):
            if self.proxy.delay:
                await asyncio.sleep(self.proxy.delay)
            await self.proxy.flowing.wait()
            if self.proxy.losing:
                continue
            if self.cut_after is not None:
                data = data[:self.cut_after]
                self.cut_after -= len(data)
            writer.write(data)
            await writer.drain()
            if self.cut_after == 0:
                self.reset()
                return
        with contextlib.suppress(OSError):
            writer.write_eof()

    def reset(self):
        """Both ends see a reset."""
        for pair in (self.near, self.far):
            if pair is None:
                continue
            one = pair[1].get_extra_info("socket")
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            pair[1].transport.abort()

    def close_half(self, towards_broker):
        """Only one direction ends."""
        pair = self.far if towards_broker else self.near
        if pair is not None:
            with contextlib.suppress(OSError):
                pair[1].write_eof()


class Proxy:
    """Runs in a thread of its own; its faults may be called from any other."""

    def __init__(self, target_port):
        self.target = "127.0.0.1", target_port
        self.delay = 0
        self.losing = False
        self.links = set()
        self.accepted = 0
        self.loop = asyncio.new_event_loop()
        self.flowing = None
        self.server = None
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.call(self.begin())
        self.port = self.server.sockets[0].getsockname()[1]

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    async def begin(self):
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0)

    async def accept(self, reader, writer):
        link = Link(self, reader, writer)
        self.links.add(link)
        self.accepted += 1
        try:
            await link.run()
        finally:
            self.links.discard(link)

    async def _cut(self, after):
        for link in list(self.links):
            if after:
                link.cut_after = after
            else:
                link.reset()
        return len(self.links)

    async def _half(self, towards_broker):
        for link in list(self.links):
            link.close_half(towards_broker)
        return len(self.links)

    async def _set(self, delay, flowing, losing):
        self.delay, self.losing = delay, losing
        if flowing:
            self.flowing.set()
        else:
            self.flowing.clear()

    def cut(self, after=0):
        """Resets every connection, at once or when `after` more bytes have passed."""
        return self.call(self._cut(after))

    def half_close(self, towards_broker):
        return self.call(self._half(towards_broker))

    def slow(self, seconds):
        """Each chunk takes so much longer."""
        self.call(self._set(seconds, True, False))

    def stall(self):
        """Nothing passes until heal(); then all of it does."""
        self.call(self._set(0, False, False))

    def lose(self):
        """What is sent vanishes until heal(), which cuts the connections that lost bytes."""
        self.call(self._set(0, True, True))

    def heal(self):
        if self.losing:
            self.cut()
        self.call(self._set(0, True, False))

    async def _end(self):
        self.server.close()
        for link in list(self.links):
            link.reset()

    def close(self):
        self.call(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
