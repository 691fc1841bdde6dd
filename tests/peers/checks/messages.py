"""Every message of every version against Kafka's own serializers: tests/peers/messages.sh prints what it compared."""
import peer

SCRIPT = peer.HERE / "messages.sh"

if SCRIPT.exists():
    @peer.check("messages", timeout=900)
    def messages(context):
        peer.program("java")
        lines = peer.run(["bash", SCRIPT], timeout=880, cwd=peer.ROOT).text.strip().splitlines()
        peer.expect(lines, "messages.sh printed nothing")
        return lines[-1]
