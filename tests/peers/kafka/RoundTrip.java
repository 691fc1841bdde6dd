// Kafka's Java clients with their default settings, as tests/peers/checks/clients.py calls them: see PROTOCOL there.
import java.io.BufferedOutputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.StringJoiner;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.ArrayList;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class RoundTrip {
  static final long BASE_TIME = 1_700_000_000_000L;

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static Properties settings(String bootstrap) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    return settings;
  }

  static void produce(String bootstrap, String topic, String file, int size, String codec) throws Exception {
    Properties settings = settings(bootstrap);
    settings.put("compression.type", codec);
    byte[] content = Files.readAllBytes(Path.of(file));
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
      for (int i = 0, at = 0; at < content.length; i++, at += size) {
        byte[] value = Arrays.copyOfRange(content, at, Math.min(content.length, at + size));
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, 0, BASE_TIME + i, bytes("k" + i), value);
        record.headers().add("n", bytes("" + i));
        sent.add(producer.send(record));
      }
      for (int i = 0; i < sent.size(); i++) {
        if (sent.get(i).get().offset() != i) throw new IllegalStateException("record " + i + " got offset " + sent.get(i).get().offset());
      }
    }
    System.out.println("{\"count\": " + sent.size() + "}");
  }

  static void consume(String bootstrap, String topic, String file, int count) throws Exception {
    TopicPartition partition = new TopicPartition(topic, 0);
    int seen = 0;
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings(bootstrap), new ByteArrayDeserializer(), new ByteArrayDeserializer());
        OutputStream out = new BufferedOutputStream(Files.newOutputStream(Path.of(file)))) {
      consumer.assign(List.of(partition));
      consumer.seekToBeginning(List.of(partition));
      while (seen < count) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(10))) {
          boolean right = record.offset() == seen && record.timestamp() == BASE_TIME + seen
              && Arrays.equals(record.key(), bytes("k" + seen)) && record.headers().toArray().length == 1
              && Arrays.equals(record.headers().lastHeader("n").value(), bytes("" + seen));
          if (!right) throw new IllegalStateException("record " + seen + " is " + record);
          out.write(record.value());
          seen++;
        }
      }
    }
    System.out.println("{\"count\": " + seen + "}");
  }

  static String errorName(ExecutionException error) {
    return error.getCause() instanceof ApiException ? Errors.forException(error.getCause()).name() : error.toString();
  }

  static void admin(String bootstrap, String topic) throws Exception {
    StringJoiner out = new StringJoiner(", ", "{", "}");
    try (Admin admin = Admin.create(settings(bootstrap))) {
      admin.createTopics(List.of(new NewTopic(topic, Optional.of(3), Optional.empty()).configs(Map.of("retention.ms", "1234567")))).all().get();
      try {
        admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1))).all().get();
        out.add("\"again\": \"NONE\"");
      } catch (ExecutionException error) {
        out.add("\"again\": \"" + errorName(error) + "\"");
      }
      out.add("\"brokers\": " + admin.describeCluster().nodes().get().size());
      out.add("\"listed\": " + admin.listTopics().names().get().contains(topic));
      ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
      out.add("\"retention\": " + admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value());
      AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "7654321"), AlterConfigOp.OpType.SET);
      Collection<AlterConfigOp> operations = List.of(set);
      admin.incrementalAlterConfigs(Map.of(resource, operations)).all().get();
      String altered = "1234567"; // a broker learns it a moment after the controller
      while (altered.equals("1234567")) altered = admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value();
      out.add("\"altered\": " + altered);
      admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
      while (admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().stream().filter(p -> p.leader() != null).count() < 5) Thread.onSpinWait();
      out.add("\"partitions\": " + admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size());
      try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings(bootstrap), new ByteArraySerializer(), new ByteArraySerializer())) {
        for (int i = 0; i < 100; i++) producer.send(new ProducerRecord<>(topic, 0, null, bytes("v" + i)));
      }
      TopicPartition partition = new TopicPartition(topic, 0);
      out.add("\"end\": " + admin.listOffsets(Map.of(partition, OffsetSpec.latest())).all().get().get(partition).offset());
      out.add("\"low\": " + admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(40))).lowWatermarks().get(partition).get().lowWatermark());
      out.add("\"start\": " + admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).all().get().get(partition).offset());
      admin.deleteTopics(List.of(topic)).all().get();
      while (admin.listTopics().names().get().contains(topic)) Thread.onSpinWait();
      out.add("\"deleted\": true");
    }
    System.out.println(out);
  }

  public static void main(String[] words) throws Exception {
    switch (words[0]) {
      case "produce" -> produce(words[1], words[2], words[3], Integer.parseInt(words[4]), words[5]);
      case "consume" -> consume(words[1], words[2], words[3], Integer.parseInt(words[4]));
      case "admin" -> admin(words[1], words[2]);
      default -> throw new IllegalArgumentException(words[0]);
    }
  }
}
