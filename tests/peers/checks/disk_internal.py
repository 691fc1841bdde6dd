"""What Apache Kafka keeps in __consumer_offsets and __transaction_state, told by both programs' dump-log."""
import peer
from checks import exchange
from checks.tools_compare import compare


@peer.check("compare/dump-log-decoders", timeout=580)
def decoders(context):
    broker = context.own_broker("internal", program=context.reference)
    broker.start()
    try:
        exchange.disk(broker, "fill", "transactions")
        for group, topic in (("one", "plain-none"), ("two", "plain-zstd"), ("gone", "cut")):
            context.tool("console-consumer", "--topic", topic, "--group", group, "--from-beginning", "--max-messages", "100", "--timeout-ms", "30000",
                         program=context.reference, broker=broker)
        # Tombstones of offsets and of a whole group.
        context.tool("consumer-groups", "--delete-offsets", "--group", "one", "--topic", "plain-none:0", program=context.reference, broker=broker)
        context.tool("consumer-groups", "--delete", "--group", "gone", program=context.reference, broker=broker)
        broker.stop()
    finally:
        broker.kill()
    wanted = {"--offsets-decoder": ('"type":"1"', '"type":"2"', '"generation":1', "<DELETE>"),
              "--transaction-log-decoder": tuple(f'"transactionStatus":{status}' for status in range(6))}  # empty to complete, committed and aborted
    counts = []
    for topic, decoder in (("__consumer_offsets", "--offsets-decoder"), ("__transaction_state", "--transaction-log-decoder")):
        files = ",".join(str(file) for file in sorted(broker.data.glob(f"{topic}-*/*.log")) if file.stat().st_size > 0)
        peer.expect(files, f"{topic} is empty")
        compare(context, "dump-log", ["--files", files, decoder])
        text = peer.run(context.subject.command("dump-log", "--files", files, decoder)).text
        for part in wanted[decoder]:
            peer.expect(part in text, f"no {part} in {topic}")
        counts.append(f"{text.count(' payload: ')} records of {topic}")
    return ", ".join(counts)
