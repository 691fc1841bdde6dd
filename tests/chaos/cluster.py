"""The broker under attack: its clients come through the proxy, its process is killed, stopped and started again."""
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "peers"))

import peer  # noqa: E402
import wire  # noqa: E402
from broker import Broker  # noqa: E402
from klamm import Klamm  # noqa: E402
from bad_network import Proxy  # noqa: E402

TOPIC_PARTITIONS = 2


class Cluster:
    def __init__(self, folder, data=None):
        self.program = Klamm()
        self.broker = Broker(self.program, folder)
        if data:
            self.broker.data = pathlib.Path(data)
        self.direct = self.broker.bootstrap
        self.proxy = Proxy(int(self.direct.rsplit(":", 1)[1]))
        self.bootstrap = f"127.0.0.1:{self.proxy.port}"
        self.broker.properties.update({
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "log.dirs": str(self.broker.data),
            "log.segment.bytes": str(4 << 20),  # more than one segment is to be recovered
            "log.flush.offset.checkpoint.interval.ms": "1000",
        })
        self.broker.file.write_text("".join(f"{key}={value}\n" for key, value in self.broker.properties.items()), encoding="utf-8")

    def create(self, topic, configs=None):
        with wire.Client(self.direct) as client:
            client.create_topic(topic, TOPIC_PARTITIONS, configs)
            peer.wait_until(f"{topic} has leaders", lambda: client.metadata([topic])[1][topic] == (0, TOPIC_PARTITIONS))

    def alive(self):
        return self.broker.server is not None and self.broker.server.alive()

    def kill(self):
        """kill -9: what the kernel has is kept, all else is gone."""
        self.broker.kill()

    def start(self):
        self.broker.start()

    def restart(self):
        """A stop in order; Failure when it takes too long or ends badly."""
        self.broker.stop()
        self.broker.start()

    def freeze(self):
        self.broker.server.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.broker.server.process.send_signal(signal.SIGCONT)

    def log_tail(self):
        log = self.broker.folder / "klamm.log"
        return log.read_bytes()[-1500:].decode("utf-8", "replace") if log.exists() else ""

    def end(self):
        """Stops all, in order if the broker still can."""
        try:
            if self.alive():
                self.thaw()
                self.broker.stop()
        finally:
            self.broker.kill()
            self.proxy.close()
