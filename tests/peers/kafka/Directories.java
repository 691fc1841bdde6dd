// What tests/peers/checks/directories.py does by Kafka's Java clients: replicas move between the data directories of a broker
// while records come and go, and nothing of them is lost.
//   move <bootstrap> <directory> <directory>   fills a topic and moves its partitions to and fro, with a producer beside it
//   begin <bootstrap> <directory>              begins to move all partitions there, slowly, and returns while they move
//   wait <bootstrap> <directory>               lets the moves run, until all partitions are there
//   state <bootstrap>                          prints what each partition has, and where it lies
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Directories {
  static final String TOPIC = "moving";
  static final int PARTITIONS = 4;
  static final int BROKER = 1;

  static void expect(boolean holds, String what) {
    if (!holds) throw new IllegalStateException(what);
  }

  static Properties settings(String bootstrap) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("linger.ms", "2");
    settings.put("batch.size", "20000");
    return settings;
  }

  static TopicPartitionReplica replica(String topic, int partition) {
    return new TopicPartitionReplica(topic, partition, BROKER);
  }

  static void throttle(Admin admin, String bytesPerSecond) throws Exception {
    var entry = new ConfigEntry("replica.alter.log.dirs.io.max.bytes.per.second", bytesPerSecond);
    var broker = new ConfigResource(ConfigResource.Type.BROKER, "" + BROKER);
    admin.incrementalAlterConfigs(Map.of(broker, List.of(new AlterConfigOp(entry, AlterConfigOp.OpType.SET)))).all().get();
  }

  static String refusal(Admin admin, String topic, String directory) throws Exception {
    try {
      admin.alterReplicaLogDirs(Map.of(replica(topic, 0), directory)).all().get();
      return "none";
    } catch (ExecutionException error) {
      return error.getCause().getClass().getSimpleName();
    }
  }

  static boolean awaitDirectory(Admin admin, List<Integer> partitions, String directory) throws Exception {
    long deadline = System.nanoTime() + 60_000_000_000L;
    while (System.nanoTime() < deadline) {
      boolean there = true;
      for (int partition : partitions) {
        var info = admin.describeReplicaLogDirs(List.of(replica(TOPIC, partition))).values().get(replica(TOPIC, partition)).get();
        there &= directory.equals(info.getCurrentReplicaLogDir()) && info.getFutureReplicaLogDir() == null;
      }
      if (there) return true;
    }
    return false;
  }

  static void begin(Admin admin, List<Integer> partitions, String directory) throws Exception {
    Map<TopicPartitionReplica, String> targets = new java.util.HashMap<>();
    for (int partition : partitions) targets.put(replica(TOPIC, partition), directory);
    admin.alterReplicaLogDirs(targets).all().get();
  }

  static byte[] value(int number) {
    return ("record " + number + " " + Integer.toHexString(number * 0x9E3779B1).repeat(20)).getBytes(StandardCharsets.UTF_8);
  }

  // Sends until told to stop; the records of a partition come in order, and all are acknowledged.
  static final class Writer extends Thread {
    final String bootstrap;
    final CountDownLatch stop = new CountDownLatch(1);
    final AtomicReference<Exception> failed = new AtomicReference<>();
    final long[] acknowledged = new long[PARTITIONS];
    int number = 0;

    Writer(String bootstrap) {
      this.bootstrap = bootstrap;
    }

    void send(KafkaProducer<byte[], byte[]> producer, int count) {
      for (int i = 0; i < count; i++, number++) {
        int partition = number % PARTITIONS;
        long place = number / PARTITIONS;
        producer.send(new ProducerRecord<>(TOPIC, partition, null, value(number)), (sent, error) -> {
          if (error == null && sent.offset() != place) error = new IllegalStateException(sent + " for record " + place);
          if (error != null) failed.compareAndSet(null, error);
          else acknowledged[partition] = place + 1;
        });
      }
      producer.flush();
    }

    @Override
    public void run() {
      try (var producer = new KafkaProducer<>(settings(bootstrap), new ByteArraySerializer(), new ByteArraySerializer())) {
        send(producer, 100_000);
        synchronized (this) {
          notifyAll();
        }
        while (!stop.await(5, TimeUnit.MILLISECONDS)) send(producer, 400);
      } catch (Exception error) {
        failed.compareAndSet(null, error);
      }
    }
  }

  static void move(String bootstrap, String first, String second) throws Exception {
    try (Admin admin = Admin.create(settings(bootstrap))) {
      var topic = new NewTopic(TOPIC, PARTITIONS, (short) 1).configs(Map.of("segment.bytes", "1048576", "file.delete.delay.ms", "1000"));
      admin.createTopics(List.of(topic)).all().get();
      Writer writer = new Writer(bootstrap);
      synchronized (writer) {
        writer.start();
        writer.wait(60_000);
      }
      System.out.println("unknown directory: " + refusal(admin, TOPIC, first + "-no"));
      System.out.println("unknown topic: " + refusal(admin, "no-such-topic", first));
      List<Integer> all = List.of(0, 1, 2, 3);
      begin(admin, all, first);
      expect(awaitDirectory(admin, all, first), "not all in " + first);
      for (int round = 0; round < 3; round++) {
        begin(admin, all, second);
        expect(awaitDirectory(admin, all, second), "not all in " + second);
        begin(admin, List.of(0, 3), first);
        expect(awaitDirectory(admin, List.of(0, 3), first), "0 and 3 not in " + first);
        begin(admin, List.of(0, 1, 2, 3), first);
        expect(awaitDirectory(admin, all, first), "not all in " + first);
      }
      throttle(admin, "200000");
      begin(admin, List.of(1), second);
      var future = admin.describeLogDirs(List.of(BROKER)).allDescriptions().get().get(BROKER).get(second).replicaInfos()
          .get(new TopicPartition(TOPIC, 1));
      System.out.println("future: " + future.isFuture() + " lag " + (future.offsetLag() > 0));
      begin(admin, List.of(1), first);  // back
      expect(awaitDirectory(admin, all, first), "the move was not cancelled");
      throttle(admin, "" + Long.MAX_VALUE);
      writer.stop.countDown();
      writer.join();
      if (writer.failed.get() != null) throw writer.failed.get();
      expect(writer.number > 102_000, "too little was written beside the moves: " + writer.number);
      for (int partition = 0; partition < PARTITIONS; partition++) {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        for (int number = partition; number < writer.number; number += PARTITIONS) digest.update(value(number));
        System.out.println(TOPIC + "-" + partition + " wrote " + writer.acknowledged[partition] + " " + HexFormat.of().formatHex(digest.digest()));
      }
    }
  }

  static void state(String bootstrap) throws Exception {
    try (Admin admin = Admin.create(settings(bootstrap));
         var consumer = new KafkaConsumer<>(settings(bootstrap), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      Map<TopicPartition, String> where = new TreeMap<>((left, right) -> left.toString().compareTo(right.toString()));
      for (var directory : admin.describeLogDirs(List.of(BROKER)).allDescriptions().get().get(BROKER).entrySet()) {
        directory.getValue().replicaInfos().forEach((partition, info) -> where.merge(
            partition, directory.getKey() + (info.isFuture() ? " (future)" : ""), (left, right) -> left + ", " + right));
      }
      for (int index = 0; index < PARTITIONS; index++) {
        var partition = new TopicPartition(TOPIC, index);
        long end = admin.listOffsets(Map.of(partition, OffsetSpec.latest())).all().get().get(partition).offset();
        consumer.assign(List.of(partition));
        consumer.seek(partition, 0);
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        long next = 0, deadline = System.nanoTime() + 60_000_000_000L;
        while (next < end && System.nanoTime() < deadline) {
          for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
            expect(record.offset() == next, partition + ": offset " + record.offset() + " after " + (next - 1));
            next++;
            digest.update(record.value());
          }
        }
        System.out.println(partition + " wrote " + next + " " + HexFormat.of().formatHex(digest.digest()) + " in " + where.get(partition));
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    String bootstrap = arguments[1];
    List<Integer> all = List.of(0, 1, 2, 3);
    switch (arguments[0]) {
      case "move" -> move(bootstrap, arguments[2], arguments[3]);
      case "state" -> state(bootstrap);
      case "begin" -> {
        try (Admin admin = Admin.create(settings(bootstrap))) {
          throttle(admin, "1000000");
          begin(admin, all, arguments[2]);
        }
      }
      case "wait" -> {
        try (Admin admin = Admin.create(settings(bootstrap))) {
          throttle(admin, "" + Long.MAX_VALUE);
          expect(awaitDirectory(admin, all, arguments[2]), "not all in " + arguments[2]);
        }
      }
      default -> throw new IllegalArgumentException(arguments[0]);
    }
  }
}
