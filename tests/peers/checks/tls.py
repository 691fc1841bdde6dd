"""TLS between every pair: kcat, Kafka's tools and those under test, on a broker with listeners of several kinds."""
import socket
import ssl
import subprocess

import data
import peer
from broker import Broker

EACH = 4 << 20
PASSWORD = "not-so-secret"
PKCS12 = {"ssl.keystore.type": "PKCS12", "ssl.keystore.password": PASSWORD, "ssl.key.password": PASSWORD}
# Listener: what is its own. The others take the general keystore, a PEM file; all trust the one authority.
LISTENERS = {
    "SSL": {**PKCS12, "ssl.keystore.location": "server.p12"},
    "MUTUAL": {"ssl.client.auth": "required"},
    "OLDER": {"ssl.enabled.protocols": "TLSv1.2", "ssl.cipher.suites": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
    "ELSEWHERE": {**PKCS12, "ssl.keystore.location": "elsewhere.p12"},
}


class Certificates:
    """Made once a run: an authority, another one, and what they signed. `<name>.pem` holds key and certificate."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        for authority in ("authority", "stranger"):
            self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/O=klamm/CN={authority}",
                         "-keyout", f"{authority}.key", "-out", f"{authority}.pem")
        self.issue("server", "authority", "DNS:localhost,IP:127.0.0.1")
        self.issue("elsewhere", "authority", "DNS:elsewhere.example")
        self.issue("client", "authority")
        self.issue("unknown", "stranger")
        for name in ("server", "elsewhere"):
            self.openssl("pkcs12", "-export", "-in", f"{name}.pem", "-certfile", "authority.pem", "-passout", f"pass:{PASSWORD}", "-out", f"{name}.p12")

    def openssl(self, *words):
        peer.run([peer.program("openssl"), *words], cwd=self.folder)

    def issue(self, name, authority, names=None):
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/O=klamm/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (self.folder / "extensions").write_text(f"subjectAltName={names}\n" if names else "", encoding="ascii")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "30",
                     "-extfile", "extensions", "-out", f"{name}.crt")
        self.path(f"{name}.pem").write_bytes(self.path(f"{name}.key").read_bytes() + self.path(f"{name}.crt").read_bytes())

    def path(self, name):
        return self.folder / name


class TlsBroker(Broker):
    """With a listener of each kind besides the plain one; `at[name]` is its address by the certificate's host name."""

    def __init__(self, program, folder, certificates):
        super().__init__(program, folder)
        ports = dict(zip(LISTENERS, peer.free_ports(len(LISTENERS))))
        self.at = {name: f"localhost:{port}" for name, port in ports.items()}
        self.properties["listeners"] += "".join(f",{name}://localhost:{port}" for name, port in ports.items())
        self.properties["listener.security.protocol.map"] += "".join(f",{name}:SSL" for name in LISTENERS)
        self.properties.update({
            "ssl.keystore.type": "PEM", "ssl.keystore.location": certificates.path("server.pem"),
            "ssl.truststore.type": "PEM", "ssl.truststore.location": certificates.path("authority.pem")})
        for name, own in LISTENERS.items():
            for key, value in own.items():
                if key == "ssl.keystore.location":
                    value = certificates.path(value)
                self.properties[f"listener.name.{name.lower()}.{key}"] = value
        self.write()

    def write(self):
        self.file.write_text("".join(f"{key}={value}\n" for key, value in self.properties.items()), encoding="utf-8")


class World:
    """What the checks of a run share."""

    def __init__(self, context):
        self.context = context
        self.certificates = Certificates(context.folder / "certificates")
        self.brokers = {}

    def broker(self, program):
        """The one TLS broker of a program; it ends with the run's other brokers."""
        name = f"tls-{program.name}"
        if name not in self.context.brokers:
            broker = TlsBroker(program, self.context.folder / name, self.certificates)
            self.context.brokers[name] = broker
            broker.start()
        return self.context.brokers[name]

    def config(self, authority="authority", identity=None, **more):
        """A client's properties file."""
        settings = {"security.protocol": "SSL", "ssl.truststore.type": "PEM", "ssl.truststore.location": self.certificates.path(f"{authority}.pem")}
        if identity:
            settings.update({"ssl.keystore.type": "PEM", "ssl.keystore.location": self.certificates.path(f"{identity}.pem")})
        settings.update({key.replace("_", "."): value for key, value in more.items()})
        return self.context.file("client.properties", "".join(f"{key}={value}\n" for key, value in settings.items()).encode())

    def kcat(self, address, *words, identity=None, **options):
        settings = ["security.protocol=ssl", f"ssl.ca.location={self.certificates.path('authority.pem')}"]
        if identity:
            settings += [f"ssl.key.location={self.certificates.path(identity + '.key')}", f"ssl.certificate.location={self.certificates.path(identity + '.crt')}"]
        return peer.run([peer.program("kcat"), "-b", address, *(word for setting in settings for word in ("-X", setting)), *words], **options)


def world(context):
    if not hasattr(context, "tls"):
        context.tls = World(context)
    return context.tls


def tool(program, name, address, config, *words, **options):
    return peer.run(program.command(name, "--bootstrap-server", address, "--command-config", str(config), *words), **options)


def round_trip(context, program, broker, address, config, number):
    """topics, console-producer and console-consumer of a program through a TLS listener."""
    topic = context.topic("tls", broker=broker)
    peer.expect(topic in tool(program, "topics", address, config, "--list").text.split("\n"), "the topic is not listed")
    content = data.lines(number, EACH)
    tool(program, "console-producer", address, config, "--topic", topic, stdin=content, timeout=90)
    count = content.count(b"\n")
    read = tool(program, "console-consumer", address, config, "--topic", topic, "--partition", "0", "--offset", "earliest",
                "--max-messages", str(count), "--timeout-ms", "30000", timeout=90)
    data.compare(topic, read.out, content)


@peer.check("tls/kcat", timeout=240)
def kcat(context):
    """librdkafka produces and consumes, in TLS 1.3 and in 1.2, text and large binary records."""
    here = world(context)
    broker = here.broker(context.subject)
    for number, listener in enumerate(("SSL", "OLDER")):
        topic = context.topic("tls-kcat", broker=broker)
        content = data.lines(40 + number, EACH)
        here.kcat(broker.at[listener], "-P", "-t", topic, "-p", "0", "-z", "zstd", "-X", "acks=all", stdin=content)
        data.compare(topic, here.kcat(broker.at[listener], "-C", "-q", "-e", "-t", topic, "-p", "0", "-o", "beginning").out, content)
    topic = context.topic("tls-binary", broker=broker)
    files = [context.file(f"chunk-{i}", data.chunks(60 + i, 700_000)) for i in range(20)]
    here.kcat(broker.at["SSL"], "-P", "-t", topic, "-p", "0", *files)
    read = here.kcat(broker.at["SSL"], "-C", "-q", "-e", "-t", topic, "-p", "0", "-o", "beginning", "-D", "").out
    data.compare(topic, read, b"".join(file.read_bytes() for file in files))


@peer.check("tls/kafka-tools", timeout=300)
def kafka_tools(context):
    """Kafka's own tools on the broker under test."""
    here = world(context)
    broker = here.broker(context.subject)
    round_trip(context, context.reference, broker, broker.at["SSL"], here.config(), 42)
    round_trip(context, context.reference, broker, broker.at["OLDER"], here.config(), 43)


@peer.check("tls/tools", timeout=300)
def own_tools(context):
    """The tools under test on Apache Kafka, and on the broker under test."""
    here = world(context)
    for number, program in enumerate((context.reference, context.subject)):
        broker = here.broker(program)
        round_trip(context, context.subject, broker, broker.at["SSL"], here.config(), 44 + 2 * number)
        round_trip(context, context.subject, broker, broker.at["OLDER"], here.config(ssl_protocol="TLSv1.2"), 45 + 2 * number)


@peer.check("tls/mutual", timeout=300)
def mutual(context):
    """Both sides show certificates; a client without one, or with a stranger's, is refused and told so."""
    here = world(context)
    under_test = here.broker(context.subject)
    reference = here.broker(context.reference)
    round_trip(context, context.reference, under_test, under_test.at["MUTUAL"], here.config(identity="client"), 48)
    round_trip(context, context.subject, reference, reference.at["MUTUAL"], here.config(identity="client"), 49)
    listed = here.kcat(under_test.at["MUTUAL"], "-L", identity="client").text
    peer.expect(under_test.at["MUTUAL"] in listed, listed)
    for broker in (under_test, reference):
        for identity, words in ((None, ("certificate",)), ("unknown", ("certificate", "unknown ca"))):
            ran = tool(context.subject, "topics", broker.at["MUTUAL"], here.config(identity=identity), "--list", status=None, timeout=50)
            text = (ran.text + ran.errors).lower()
            peer.expect(ran.status != 0, f"the tool succeeds with {identity} on {broker.program.name}")
            if context.subject is not context.reference:
                peer.expect(any(word in text for word in words), f"no word of the certificate ({identity}, {broker.program.name}): {text}")
    ran = tool(context.reference, "topics", under_test.at["MUTUAL"], here.config(), "--list", status=None, timeout=50)
    peer.expect(ran.status != 0 and "SslAuthenticationException" in ran.text + ran.errors, ran.text + ran.errors)
    ran = here.kcat(under_test.at["MUTUAL"], "-L", "-m", "10", status=None)
    peer.expect(ran.status != 0, "kcat is let in without a certificate")
    round_trip(context, context.subject, under_test, under_test.at["SSL"], here.config(), 50)  # nobody else was disturbed


@peer.check("tls/refused", timeout=300)
def refused(context):
    """A certificate that is not trusted or not for the host is refused by each kind of client, in clear words and at once."""
    here = world(context)
    for broker in (here.broker(context.subject), here.broker(context.reference)):
        for address, config, word in ((broker.at["SSL"], here.config(authority="stranger"), "certificate verify failed"),
                                      (broker.at["ELSEWHERE"], here.config(), "elsewhere.example")):
            for name, words in (("topics", ("--list",)), ("console-producer", ("--topic", "any")),
                                ("console-consumer", ("--topic", "any", "--partition", "0", "--offset", "earliest"))):
                ran = tool(context.subject, name, address, config, *words, stdin=b"x\n", status=None, timeout=40)
                text = ran.text + ran.errors
                if context.subject is not context.reference:
                    peer.expect(word in text, f"{name} on {address}: no word of {word!r}: {text}")
                    # Kafka's consumer ends with 0 after an error it has told, and so does klamm's.
                    peer.expect(ran.status != 0 or name == "console-consumer", f"{name} on {address}: exit status 0: {text}")
        plain = tool(context.subject, "topics", broker.bootstrap, here.config(default_api_timeout_ms="6000", request_timeout_ms="5000"), "--list",
                     status=None, timeout=40)
        peer.expect(plain.status != 0, "TLS on a listener without TLS")
        if context.subject is not context.reference:
            peer.expect("may not speak TLS" in plain.text + plain.errors, plain.text + plain.errors)
        loose = here.config(ssl_endpoint_identification_algorithm="")
        peer.expect(tool(context.subject, "topics", broker.at["ELSEWHERE"], loose, "--list").status == 0, "without a check of the name")
    under_test = here.broker(context.subject)
    for address, config in ((under_test.at["SSL"], here.config(authority="stranger")), (under_test.at["ELSEWHERE"], here.config())):
        ran = tool(context.reference, "topics", address, config, "--list", status=None, timeout=50)
        peer.expect(ran.status != 0 and "SslAuthenticationException" in ran.text + ran.errors, ran.text + ran.errors)


@peer.check("tls/stores", timeout=120)
def stores(context):
    """What the server says to stores that it cannot use; and the file that keytool makes today."""
    if context.subject is context.reference:
        raise peer.Skip("the words are klamm's")
    here = world(context)
    folder = context.folder / "keytool"
    folder.mkdir()
    for kind in ("JKS", "PKCS12"):
        peer.run([peer.program("keytool"), "-genkeypair", "-alias", "server", "-keyalg", "RSA", "-keysize", "2048", "-validity", "30", "-dname", "CN=localhost",
                  "-ext", "SAN=DNS:localhost", "-storetype", kind, "-keystore", folder / kind, "-storepass", PASSWORD, "-keypass", PASSWORD])

    def says(words, number, **changed):
        broker = TlsBroker(context.subject, context.folder / f"stores-{number}", here.certificates)
        broker.properties.update({key.replace("_", "."): value for key, value in changed.items()})
        broker.write()
        broker.format()
        ran = peer.run(context.subject.command("server", str(broker.file)), status=None, timeout=30, cwd=broker.folder)
        text = ran.text + ran.errors
        peer.expect(ran.status not in (0, None) and all(word in text for word in words), f"wanted {words}: {text}")
        peer.expect(PASSWORD not in text, "a password is printed")

    says(["keytool -importkeystore", "JKS"], 1, ssl_keystore_type="JKS", ssl_keystore_location=folder / "JKS")
    says(["password is wrong", "server.p12"], 2, listener_name_ssl_ssl_keystore_password="another")
    says(["missing.pem"], 3, ssl_truststore_location="missing.pem")
    says(["ssl.keystore.location", "certificate"], 4, ssl_keystore_location="")
    says(["SASL_SSL", "only PLAINTEXT and SSL"], 5, listener_security_protocol_map="CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SASL_SSL,"
         "MUTUAL:SSL,OLDER:SSL,ELSEWHERE:SSL")
    broker = TlsBroker(context.subject, context.folder / "stores-6", here.certificates)
    broker.properties.update({"ssl.keystore.type": "JKS", "ssl.keystore.location": folder / "PKCS12", "ssl.keystore.password": PASSWORD})  # as keytool and Kafka name it
    broker.write()
    broker.start()
    try:
        peer.run([peer.program("keytool"), "-exportcert", "-rfc", "-alias", "server", "-keystore", folder / "PKCS12", "-storepass", PASSWORD,
                  "-file", folder / "server.pem"])
        config = here.config(ssl_truststore_location=folder / "server.pem")
        peer.equal("topics", tool(context.reference, "topics", broker.at["OLDER"], config, "--list").text.strip(), "")
        peer.equal("topics", tool(context.subject, "topics", broker.at["OLDER"], config, "--list").text.strip(), "")
    finally:
        broker.stop()


@peer.check("tls/openssl", timeout=120)
def openssl(context):
    """openssl's own client: versions and ciphers as configured, strangers to the protocol do no harm."""
    here = world(context)
    broker = here.broker(context.subject)

    def connect(listener, *words):
        command = [peer.program("openssl"), "s_client", "-connect", broker.at[listener], "-CAfile", here.certificates.path("authority.pem"), *words]
        done = subprocess.run([str(word) for word in command], input=b"Q\n", capture_output=True, timeout=30, check=False)
        return (done.stdout + done.stderr).decode("utf-8", "replace")
    text = connect("SSL", "-verify_return_error")
    peer.expect("TLSv1.3" in text and "Verify return code: 0 (ok)" in text, text)
    text = connect("OLDER", "-verify_return_error")
    peer.expect("TLSv1.2" in text and "ECDHE-RSA-AES256-GCM-SHA384" in text, text)
    peer.expect("alert protocol version" in connect("OLDER", "-tls1_3"), "TLS 1.3 is spoken where 1.2 is wanted")
    peer.expect("alert" in connect("SSL", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "TLS 1.1 is spoken")
    ran = peer.run([peer.program("kcat"), "-b", broker.at["SSL"], "-L", "-m", "3"], status=None)
    peer.expect(ran.status != 0, "a client without TLS is served")
    tool(context.subject, "topics", broker.at["SSL"], here.config(), "--list")




def serial_at(address, authority):
    """The number of the certificate that a listener shows."""
    host, port = address.rsplit(":", 1)
    context = ssl.create_default_context(cafile=authority)
    with socket.create_connection((host, int(port)), 10) as plain, context.wrap_socket(plain, server_hostname=host) as secured:
        return secured.getpeercert()["serialNumber"]


@peer.check("tls/key-store-at-run-time", timeout=120)
def key_store_at_run_time(context):
    """A new certificate under the old name of its file is taken when it is set; one that cannot be read, or is somebody else's, is refused."""
    certificates = Certificates(context.folder / "certificates-at-run-time")
    broker = TlsBroker(context.subject, context.folder / "tls-at-run-time", certificates)
    older = broker.at["OLDER"]

    def set_store(path, status=0):
        return context.tool("configs", "--alter", "--entity-type", "brokers", "--entity-name", "1", "--add-config",
                            f"listener.name.older.ssl.keystore.location={path},listener.name.older.ssl.keystore.type=PEM",
                            program=context.reference, broker=broker, status=status)

    broker.start()
    try:
        first = serial_at(older, certificates.path("authority.pem"))
        for path, why in (("/no/such/file", "/no/such/file"), (certificates.path("client.pem"), "DistinguishedName does not match")):
            refused = set_store(path, status=None)
            peer.expect(why in refused.text + refused.errors, f"{path}: {refused.text} {refused.errors}")
        peer.equal("the certificate after what was refused", serial_at(older, certificates.path("authority.pem")), first)
        certificates.issue("server", "authority", "DNS:localhost,IP:127.0.0.1")
        peer.equal("the certificate of a file that changed", serial_at(older, certificates.path("authority.pem")), first)
        set_store(certificates.path("server.pem"))
        peer.wait_until("the new certificate is shown", lambda: serial_at(older, certificates.path("authority.pem")) != first)
        broker.stop()
        broker.start()
        peer.expect(serial_at(older, certificates.path("authority.pem")) != first, "the old certificate after a restart")
        broker.stop()
    finally:
        broker.kill()
