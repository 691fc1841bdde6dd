"""What is measured, built or fetched: klamm's programs, librdkafka from its source, franz-go, Apache Kafka's jars."""
import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import tarfile

import kafka
import klamm
import peer
from broker import Broker

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"
CACHE = pathlib.Path(os.environ.get("KLAMM_BENCH_CACHE", pathlib.Path.home() / ".cache/klamm/bench"))
RDKAFKA_VERSION = "2.15.1"
# The packages that carry librdkafka's source of that version: (client, package).
RDKAFKA_NPM = "@confluentinc/kafka-javascript@1.10.1"
RDKAFKA_GIT = "https://github.com/confluentinc/librdkafka"
# As bin/kafka-server-start.sh and kafka-run-class.sh of Apache Kafka start a broker.
KAFKA_JVM = ["-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
             "-XX:+ExplicitGCInvokesConcurrent", "-XX:MaxInlineLevel=15", "-Djava.awt.headless=true", "-Dpeer.log.level=WARN",
             "-Dpeer.log.target=SYSTEM_OUT"]


def call(argv, cwd=None, timeout=1800, env=None):
    done = subprocess.run([str(word) for word in argv], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **(env or {})}, check=False)
    if done.returncode != 0:
        raise peer.Skip(f"{peer.brief([str(word) for word in argv])} failed: {peer.shorten((done.stdout + done.stderr)[-600:])}")
    return done.stdout


class KafkaProgram(kafka.Kafka):
    """Apache Kafka with the heap and collector of its own start script."""

    def command(self, tool, *arguments):
        return kafka.java(kafka.TOOLS[tool], *arguments, jvm=KAFKA_JVM if tool == "server" else None)


class KlammProgram(klamm.Klamm):
    def __init__(self, program):
        super().__init__()
        self.program = program


class Setup:
    def __init__(self, build, folder, options):
        self.build = build
        self.folder = folder
        self.options = options
        self.skipped = {}
        self.made = set()

    def make(self, *targets):
        """Builds programs of klamm's own, each once a run; the path of the first."""
        self.configure()
        missing = [target for target in targets if target not in self.made]
        if missing:
            try:
                call(["ninja", "-C", self.build, *missing], timeout=5400)
            except peer.Skip as failed:
                raise peer.Failure(str(failed)) from None
            self.made.update(missing)
        return self.program(targets[0])

    def configure(self):
        cache = self.build / "CMakeCache.txt"
        if not (self.build / "build.ninja").exists():
            call(["cmake", "-S", ROOT, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DKLAMM_BUILD_BENCH=ON"])
        elif "KLAMM_BUILD_BENCH:BOOL=ON" not in cache.read_text(encoding="utf-8"):
            call(["cmake", "-S", ROOT, "-B", self.build, "-DKLAMM_BUILD_BENCH=ON"])

    def has_google_benchmark(self):
        self.configure()
        return "benchmark_DIR:PATH=benchmark_DIR-NOTFOUND" not in (self.build / "CMakeCache.txt").read_text(encoding="utf-8")

    def program(self, target):
        return self.build / target if target == "klamm" else self.build / "bench" / target

    @contextlib.contextmanager
    def cached(self, name):
        """A folder of the cache, under its lock."""
        folder = CACHE / name
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder

    def rdkafka(self):
        """The load program on librdkafka."""
        with self.cached(f"librdkafka-{RDKAFKA_VERSION}") as folder:
            library = folder / "source/src/librdkafka.a"
            if not library.exists():
                print(f"  building librdkafka {RDKAFKA_VERSION} from its source", flush=True)
                source = folder / "source"
                shutil.rmtree(source, ignore_errors=True)
                fetch_rdkafka(folder, source)
                for script in (*source.rglob("configure*"), source / "lds-gen.py"):
                    script.chmod(0o755)
                without = ("ssl", "gssapi", "curl", "zlib", "zstd", "lz4-ext")
                call(["bash", "./configure", "--enable-static", *(f"--disable-{name}" for name in without)], cwd=source)
                call(["make", "-C", "src", "librdkafka.a", f"-j{len(os.sched_getaffinity(0))}"], cwd=source)
            program, source = folder / "rdkafka_load", BENCH / "load/rdkafka_load.cc"
            newest = max(file.stat().st_mtime for file in (library, source, BENCH / "load/meter.h"))
            if not program.exists() or program.stat().st_mtime < newest:
                call(["c++", "-O2", "-std=c++20", f"-I{ROOT}", f"-I{library.parent}", source, library, "-o", program, "-lpthread", "-ldl", "-lm"])
            return program

    def franz(self):
        """The load program on franz-go."""
        with self.cached("franz-go") as folder:
            call([peer.program("go"), "build", "-o", folder / "franz_load", "."], cwd=BENCH / "load/go")
            return folder / "franz_load"

    def brokers(self):
        """{name: broker that runs}; what cannot be had is named in `skipped`."""
        running = {}
        for program in self.broker_programs():
            running[program.name] = Broker(program, self.folder / f"broker-{program.name}", log_segment_delete_delay_ms=1000).start()
        return running

    def broker_programs(self):
        programs = [KlammProgram(self.make("klamm"))]
        try:
            kafka.libs()
            programs.append(KafkaProgram())
        except peer.Skip as skip:
            self.skipped["Apache Kafka"] = str(skip)
        return programs

    def load_programs(self):
        """{client: {mode: command}}"""
        found = {"klamm": {"produce": [self.make("klamm_produce")], "consume": [self.make("klamm_consume")],
                           "latency": [self.make("klamm_latency")]}}
        for name, build, modes in (("librdkafka", self.rdkafka, ("produce", "consume", "poll", "latency")),
                                   ("franz-go", self.franz, ("produce", "consume"))):
            try:
                program = build()
                found[name] = {mode: [program, mode] for mode in modes}
            except peer.Skip as skip:
                self.skipped[name] = str(skip)
        return found


def fetch_rdkafka(folder, source):
    """librdkafka's source tree, from the npm package that builds it, or from its repository."""
    given = os.environ.get("LIBRDKAFKA_SOURCE")
    if given:
        shutil.copytree(given, source)
        return
    wrong = []
    try:
        name = call([peer.program("npm"), "pack", "--silent", "--ignore-scripts", RDKAFKA_NPM], cwd=folder, timeout=300).split()[-1]
        inside = "package/deps/librdkafka/"
        with tarfile.open(folder / name) as archive:
            for member in archive.getmembers():
                path = pathlib.PurePosixPath(member.name)
                if member.isfile() and member.name.startswith(inside) and ".." not in path.parts:
                    to = source / member.name[len(inside):]
                    to.parent.mkdir(parents=True, exist_ok=True)
                    to.write_bytes(archive.extractfile(member).read())
        (folder / name).unlink()
        return
    except (peer.Skip, OSError, subprocess.TimeoutExpired) as failed:
        wrong.append(str(failed))
    try:
        call([peer.program("git"), "clone", "-q", "--depth", "1", "--branch", f"v{RDKAFKA_VERSION}", RDKAFKA_GIT, source], timeout=300,
             env={"GIT_TERMINAL_PROMPT": "0"})
    except (peer.Skip, subprocess.TimeoutExpired) as failed:
        raise peer.Skip(f"librdkafka's source cannot be had: {'; '.join([*wrong, str(failed)])}") from None
