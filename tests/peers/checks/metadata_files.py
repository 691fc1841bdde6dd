"""dump-log of the metadata's files: Kafka's and the one under test say the same of a log and a snapshot of either."""
import peer
from checks.tools_compare import canonical

def files_of(broker):
    """The first segment of the metadata log, and a snapshot beyond the one that the node was formatted with."""
    folder = broker.data / "__cluster_metadata-0"

    def snapshots():
        return sorted(path for path in folder.glob("*.checkpoint") if int(path.name.split("-")[0]) > 0)
    try:
        broker.start()
        with broker.client() as client:
            client.create_topic("first", 3, {"retention.ms": 777})
            for number in range(40):
                if snapshots():
                    break
                client.create_topic(f"more-{number}")
        peer.wait_until("there is a snapshot", snapshots, 20)
        broker.stop()
    finally:
        broker.kill()
    return broker.segments("__cluster_metadata")[0], snapshots()[-1]


def said(program, tool, *words):
    ran = peer.run(program.command(tool, *words), status=None, timeout=60)
    return ran.status, [canonical(line) for line in ran.out.decode(errors="replace").splitlines()]


@peer.check("cluster/dump-metadata", timeout=300)
def dump_metadata(context):
    lines = 0
    for number, program in enumerate((context.subject, context.reference)):
        broker = context.own_broker(f"files-{number}", program, metadata_log_max_record_bytes_between_snapshots=2000)
        log, snapshot = files_of(broker)
        commands = [("dump-log", "--cluster-metadata-decoder", "--files", file) for file in (log, snapshot)]
        for command in commands:
            theirs, mine = (said(which, *map(str, command)) for which in (context.reference, context.subject))
            what = f"{' '.join(map(str, command))} of {program.name}'s"
            for one, other in zip(theirs[1], mine[1]):
                peer.equal(what, other, one)
            peer.equal(what, (mine[0], len(mine[1])), (theirs[0], len(theirs[1])))
            lines += len(mine[1])
    return f"{lines} lines"
