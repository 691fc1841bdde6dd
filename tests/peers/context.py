"""What a check is given: the brokers, the tools under test, topics, a folder."""
import itertools

import peer
from broker import Broker
from kafka import Kafka
from klamm import Klamm


class Context:
    """`subject` is what is under test: klamm, or Apache Kafka when the checks themselves are tested."""

    def __init__(self, against, folder):
        self.folder = folder
        self.reference = Kafka()
        self.subject = Klamm() if against == "klamm" else self.reference
        self.brokers = {}
        self.numbers = itertools.count(1)

    def _shared(self, program):
        """The one broker of a program that all checks share; started on first use, and again after it died."""
        running = self.brokers.get(program.name)
        if running is None:
            running = self.brokers[program.name] = Broker(program, self.folder / f"broker-{program.name}")
        if running.server is not None and not running.server.alive():
            tail = running.server.tail()
            running.kill()
            raise peer.Failure(f"the shared broker of {program.name} died before this check: {tail}")
        if running.server is None:
            running.start()
        return running

    @property
    def broker(self):
        """The broker under test."""
        return self._shared(self.subject)

    @property
    def kafka(self):
        """An Apache Kafka broker, for klamm's tools and SDK."""
        return self._shared(self.reference)

    def own_broker(self, name, program=None, **properties):
        """A broker for one check alone: the check starts and stops it."""
        return Broker(program or self.subject, self.folder / f"{name}-{next(self.numbers)}", **properties)

    def path(self, name):
        return self.folder / f"{next(self.numbers)}-{name}"

    def file(self, name, content):
        path = self.path(name)
        path.write_bytes(content)
        return path

    def name(self, stem):
        return f"{stem}-{next(self.numbers)}"

    def topic(self, stem, partitions=1, broker=None, **configs):
        """A fresh topic with a leader for each partition."""
        broker = broker or self.broker
        name = self.name(stem)
        with broker.client() as client:
            client.create_topic(name, partitions, {key.replace("_", "."): value for key, value in configs.items()})
            peer.wait_until(f"{name} has leaders", lambda: client.metadata([name])[1][name] == (0, partitions))
        return name

    def tool(self, tool, *arguments, program=None, broker=None, **options):
        """Runs a tool of the program under test (or of `program`) against a broker."""
        broker = broker or self.broker
        command = (program or self.subject).command(tool, "--bootstrap-server", broker.bootstrap, *arguments)
        return peer.run(command, **options)

    def close(self):
        """Stops the shared brokers in order; what went wrong with it, in words."""
        wrong = []
        for broker in self.brokers.values():
            try:
                broker.stop()
            except peer.Failure as failure:
                wrong.append(f"stop: {failure}")
        return wrong

    def kill(self):
        for broker in self.brokers.values():
            broker.kill()
