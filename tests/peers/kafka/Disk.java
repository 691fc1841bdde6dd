// What tests/peers/checks/exchange.py does to a broker by Kafka's Java clients: fill it with all that a log can hold, add to
// it, and print what it serves in lines that two brokers on one directory must agree on.
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Disk {
  static long baseTime;  // of the first record; old ones would be subject to retention and expiry
  static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static Properties settings(String bootstrap, String... more) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    for (int i = 0; i < more.length; i += 2) settings.put(more[i], more[i + 1]);
    return settings;
  }

  static KafkaProducer<byte[], byte[]> producer(String bootstrap, String... more) {
    return new KafkaProducer<>(settings(bootstrap, more), new ByteArraySerializer(), new ByteArraySerializer());
  }

  static ProducerRecord<byte[], byte[]> record(String topic, int partition, int number, Random random, int keys) {
    StringBuilder value = new StringBuilder();
    for (int words = 5 + random.nextInt(40); words > 0; words--) value.append(Integer.toString(random.nextInt(100_000), 36)).append(' ');
    ProducerRecord<byte[], byte[]> record =
        new ProducerRecord<>(topic, partition, baseTime + number * 10L, bytes("k" + (keys > 0 ? random.nextInt(keys) : number)),
                             random.nextInt(50) == 0 ? null : bytes(value.toString()));
    if (number % 3 == 0) record.headers().add("h", bytes("" + number)).add("empty", null);
    return record;
  }

  static void send(KafkaProducer<byte[], byte[]> producer, String topic, int partitions, int count, int keys, long seed) {
    Random random = new Random(seed);
    for (int i = 0; i < count; i++) producer.send(record(topic, i % partitions, i, random, keys));
  }

  // Transactions need a broker that serves them: only Kafka is filled with them.
  static void fill(String bootstrap, boolean transactions) throws Exception {
    try (Admin admin = Admin.create(settings(bootstrap))) {
      Map<String, String> small = Map.of("segment.bytes", "1048576", "index.interval.bytes", "1024");
      List<NewTopic> topics = new ArrayList<>();
      for (String codec : CODECS) topics.add(new NewTopic("plain-" + codec, 2, (short) 1).configs(small));
      topics.add(new NewTopic("cut", 1, (short) 1).configs(small));
      topics.add(new NewTopic("gone", 3, (short) 1));
      topics.add(new NewTopic("stamped", 1, (short) 1).configs(Map.of("message.timestamp.type", "LogAppendTime", "retention.ms", "987654321")));
      topics.add(new NewTopic("compacted", 1, (short) 1).configs(Map.of("cleanup.policy", "compact", "segment.bytes", "1048576",
          "min.cleanable.dirty.ratio", "0.01")));
      topics.add(new NewTopic("transactions", 2, (short) 1).configs(small));
      topics.add(new NewTopic("empty", 2, (short) 1));
      admin.createTopics(topics).all().get();
      for (String codec : CODECS) {
        try (var producer = producer(bootstrap, "compression.type", codec, "linger.ms", "1", "batch.size", "20000")) {
          send(producer, "plain-" + codec, 2, 40_000, 0, 1);
        }
      }
      try (var producer = producer(bootstrap, "compression.type", "lz4", "batch.size", "4000", "linger.ms", "1")) {
        send(producer, "cut", 1, 30_000, 0, 2);
        send(producer, "gone", 3, 300, 0, 3);
        send(producer, "stamped", 1, 500, 0, 4);
        send(producer, "compacted", 1, 60_000, 500, 5);
      }
      if (transactions) transact(bootstrap);
      admin.deleteRecords(Map.of(new TopicPartition("cut", 0), RecordsToDelete.beforeOffset(12_345))).all().get();
      admin.deleteTopics(List.of("gone")).all().get();
    }
  }

  static void transact(String bootstrap) {
    try (var producer = producer(bootstrap, "transactional.id", "first", "batch.size", "2000")) {
      producer.initTransactions();
      for (int i = 0; i < 12; i++) {
        producer.beginTransaction();
        send(producer, "transactions", 2, 400, 0, 100 + i);
        if (i % 3 == 1) producer.abortTransaction(); else producer.commitTransaction();
      }
    }
    // One stays open.
    var open = producer(bootstrap, "transactional.id", "open", "transaction.timeout.ms", "900000");
    open.initTransactions();
    open.beginTransaction();
    send(open, "transactions", 2, 100, 0, 999);
    open.flush();
    try (var producer = producer(bootstrap)) {
      send(producer, "transactions", 2, 100, 0, 1000);  // behind it: not stable
    }
  }

  static void add(String bootstrap, long seed) {
    for (String codec : CODECS) {
      try (var producer = producer(bootstrap, "compression.type", codec, "linger.ms", "1", "batch.size", "8000")) {
        send(producer, "plain-" + codec, 2, 5_000, 0, seed);
      }
    }
    try (var producer = producer(bootstrap, "linger.ms", "1")) {
      send(producer, "cut", 1, 2_000, 0, seed);
      send(producer, "compacted", 1, 20_000, 500, seed);
      send(producer, "stamped", 1, 100, 0, seed);
      send(producer, "transactions", 2, 200, 0, seed);
    }
  }

  static String text(byte[] bytes) {
    return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
  }

  static String read(KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, long from, long to, boolean latestOnly) throws Exception {
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    Map<String, String> latest = new TreeMap<>();
    TreeSet<Integer> epochs = new TreeSet<>();
    long count = 0, last = -1;
    consumer.assign(List.of(partition));
    consumer.seek(partition, from);
    long deadline = System.nanoTime() + 60_000_000_000L;
    while (consumer.position(partition) < to && System.nanoTime() < deadline) {
      for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
        if (record.offset() <= last) throw new IllegalStateException(partition + ": offset " + record.offset() + " after " + last);
        last = record.offset();
        count++;
        StringBuilder line = new StringBuilder().append(record.offset()).append(' ').append(record.timestampType()).append(' ')
            .append(record.timestamp()).append(' ').append(text(record.key())).append(' ').append(text(record.value()));
        for (Header header : record.headers()) line.append(' ').append(header.key()).append('=').append(text(header.value()));
        record.leaderEpoch().ifPresent(epochs::add);
        if (latestOnly) latest.put(text(record.key()), line.toString()); else digest.update(bytes(line.append('\n').toString()));
      }
    }
    if (consumer.position(partition) < to) throw new IllegalStateException(partition + ": stuck at " + consumer.position(partition) + " of " + to);
    latest.values().removeIf(line -> line.split(" ")[4].equals("-"));  // a tombstone may be gone already
    for (String line : latest.values()) digest.update(bytes(line + "\n"));
    String size = latestOnly ? latest.size() + " keys" : count + " records";
    return size + " " + text(digest.digest()).substring(0, 16) + (latestOnly ? "" : " epochs " + epochs);
  }

  static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, String isolation) {
    return new KafkaConsumer<>(settings(bootstrap, "isolation.level", isolation, "auto.offset.reset", "none"), new ByteArrayDeserializer(),
                               new ByteArrayDeserializer());
  }

  static void state(String bootstrap) throws Exception {
    try (Admin admin = Admin.create(settings(bootstrap)); var uncommitted = consumer(bootstrap, "read_uncommitted");
         var readCommitted = consumer(bootstrap, "read_committed")) {
      var topics = new TreeMap<>(admin.describeTopics(admin.listTopics().names().get()).allTopicNames().get());
      for (var topic : topics.entrySet()) {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic.getKey());
        String configs = admin.describeConfigs(List.of(resource)).all().get().get(resource).entries().stream()
            .filter(entry -> entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG)
            .map(entry -> entry.name() + "=" + entry.value()).sorted().collect(Collectors.joining(","));
        System.out.println(topic.getKey() + " " + topic.getValue().topicId() + " " + configs);
        for (var info : topic.getValue().partitions()) {
          var partition = new TopicPartition(topic.getKey(), info.partition());
          long earliest = admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).all().get().get(partition).offset();
          long latest = admin.listOffsets(Map.of(partition, OffsetSpec.latest())).all().get().get(partition).offset();
          var committed = new org.apache.kafka.clients.admin.ListOffsetsOptions(IsolationLevel.READ_COMMITTED);
          long stable = admin.listOffsets(Map.of(partition, OffsetSpec.latest()), committed).all().get().get(partition).offset();
          long timed = admin.listOffsets(Map.of(partition, OffsetSpec.forTimestamp(baseTime + 200_000))).all().get().get(partition).offset();
          var largest = admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).all().get().get(partition);
          boolean compacts = topic.getKey().equals("compacted");
          System.out.println("  " + partition + " [" + earliest + ", " + latest + ") stable " + stable
              + (compacts ? "" : " time " + timed + " largest " + largest.timestamp() + "@" + largest.offset()));
          System.out.println("    uncommitted " + read(uncommitted, partition, earliest, latest, compacts));
          System.out.println("    committed " + read(readCommitted, partition, earliest, stable, compacts));
          var producers = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
          System.out.println("    producers " + producers.stream()
              .map(each -> each.producerId() + "/" + each.producerEpoch() + ":" + each.lastSequence() + "@" + each.lastTimestamp() + " open " + each.currentTransactionStartOffset())
              .sorted().collect(Collectors.joining(", ")));
        }
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    baseTime = Long.parseLong(arguments[2]);
    switch (arguments[0]) {
      case "fill" -> fill(arguments[1], arguments[3].equals("transactions"));
      case "add" -> add(arguments[1], Long.parseLong(arguments[3]));
      case "state" -> state(arguments[1]);
      default -> throw new IllegalArgumentException(arguments[0]);
    }
    System.out.flush();
    Runtime.getRuntime().halt(0);  // a transaction is left open on purpose
  }
}
