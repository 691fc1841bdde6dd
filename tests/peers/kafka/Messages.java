// Every message class in Apache Kafka's jars, through Kafka's own serializers; tests/peers/messages.sh runs it.
//
//   Messages write SEED COUNT   COUNT random instances of each class and version, one a line on stdout:
//                               source class version hex json
//   Messages verify             reads lines of that form (json may be missing), decodes and encodes each, prints the
//                               lines that do not come back the same, then how many did
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.DoubleNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.LongNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.File;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Collection;
import java.util.Enumeration;
import java.util.HexFormat;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;

public final class Messages {
  static final Pattern JAR = Pattern.compile(
      "kafka-(clients|metadata|raft|storage|group-coordinator|transaction-coordinator|share-coordinator)-[0-9.]+\\.jar");
  static final ObjectMapper MAPPER = new ObjectMapper();
  static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  record Kind(String source, Class<?> type, Method fromJson, Method toJson) {
    Message make() throws ReflectiveOperationException {
      return (Message) type.getDeclaredConstructor().newInstance();
    }

    String key() {
      return source + " " + type.getSimpleName();
    }
  }

  // The classes that come with a JSON converter, by source and name.
  static Map<String, Kind> kinds() throws Exception {
    Map<String, Kind> kinds = new TreeMap<>();
    for (String path : System.getProperty("java.class.path").split(File.pathSeparator)) {
      Matcher jar = JAR.matcher(new File(path).getName());
      if (!jar.matches()) continue;
      try (JarFile file = new JarFile(path)) {
        for (Enumeration<JarEntry> entries = file.entries(); entries.hasMoreElements();) {
          String name = entries.nextElement().getName();
          if (!name.endsWith("JsonConverter.class") || name.contains("$")) continue;
          String base = name.substring(0, name.length() - "JsonConverter.class".length()).replace('/', '.');
          Class<?> type = Class.forName(base);
          if (!Message.class.isAssignableFrom(type)) continue;
          Class<?> converter = Class.forName(base + "JsonConverter");
          Kind kind = new Kind(jar.group(1), type, converter.getMethod("read", JsonNode.class, short.class),
              converter.getMethod("write", type, short.class, boolean.class));
          kinds.put(kind.key(), kind);
        }
      }
    }
    return kinds;
  }

  // --- random instances, as JSON in the shape of a version's schema ---

  static final class Maker {
    final Random random;

    Maker(long seed) {
      random = new Random(seed);
    }

    boolean chance(int percent) {
      return random.nextInt(100) < percent;
    }

    // Kafka's schemas have names with underscores, its converters those of the message tables ("kRaft" is one word in
    // the former).
    static String jsonName(String name) {
      if (name.startsWith("kraft_")) return "kRaft" + jsonName("_" + name.substring(6));
      StringBuilder json = new StringBuilder();
      boolean upper = false;
      for (char letter : name.toCharArray()) {
        if (letter == '_') {
          upper = true;
          continue;
        }
        json.append(upper ? Character.toUpperCase(letter) : letter);
        upper = false;
      }
      return json.toString();
    }

    ObjectNode object(Schema schema, int depth) {
      ObjectNode object = NODES.objectNode();
      for (BoundField field : schema.fields()) {
        if (field.def.type instanceof TaggedFields tagged) {
          for (var each : tagged.fields().values()) {
            if (chance(60)) object.set(jsonName(each.name), value(each.type, depth));
          }
        } else {
          object.set(jsonName(field.def.name), value(field.def.type, depth));
        }
      }
      return object;
    }

    JsonNode value(Type type, int depth) {
      if (type.isNullable() && chance(25)) return NullNode.instance;
      if (type.isArray()) {
        ArrayNode array = NODES.arrayNode();
        int most = depth > 2 ? 2 : 4;
        for (int left = chance(20) ? 0 : random.nextInt(most) + 1; left > 0; left--) array.add(value(type.arrayElementType().get(), depth + 1));
        return array;
      }
      if (type instanceof Schema schema) return object(schema, depth + 1);
      String name = type.toString();
      if (name.endsWith("STRING")) return new TextNode(text());
      if (name.endsWith("BYTES") || name.endsWith("RECORDS")) return new TextNode(Base64.getEncoder().encodeToString(bytes()));
      return switch (name) {
        case "BOOLEAN" -> BooleanNode.valueOf(random.nextBoolean());
        case "INT8" -> new IntNode((byte) number());
        case "INT16" -> new IntNode((short) number());
        case "UINT16" -> new IntNode((int) (number() & 0xffff));
        case "INT32" -> new IntNode((int) number());
        case "UINT32" -> new LongNode(number() & 0xffffffffL);
        case "INT64" -> new LongNode(number());
        case "FLOAT64" -> new DoubleNode(chance(20) ? random.nextInt(5) : Double.longBitsToDouble(random.nextLong() & ~(1L << 62)));
        case "UUID" -> new TextNode(new Uuid(number(), number()).toString());
        default -> throw new IllegalStateException("a type of another kind: " + name);
      };
    }

    long number() {
      long[] edges = {0, 1, -1, Byte.MIN_VALUE, Byte.MAX_VALUE, Short.MIN_VALUE, Short.MAX_VALUE, Integer.MIN_VALUE,
          Integer.MAX_VALUE, Long.MIN_VALUE, Long.MAX_VALUE, 127, 128, 16383, 16384};
      return chance(40) ? edges[random.nextInt(edges.length)] : random.nextLong() >> random.nextInt(64);
    }

    int length() {
      if (chance(15)) return 0;
      if (chance(3)) return 100 + random.nextInt(300);
      return random.nextInt(12) + 1;
    }

    String text() {
      if (chance(1) && chance(10)) return "x".repeat(Short.MAX_VALUE);
      int[][] planes = {{'a', 26}, {'a', 26}, {'a', 26}, {' ', 95}, {0, 128}, {0xa1, 400}, {0x4e00, 2000}, {0x1f600, 60}};
      StringBuilder text = new StringBuilder();
      for (int left = length(); left > 0; left--) {
        int[] plane = planes[random.nextInt(planes.length)];
        text.appendCodePoint(plane[0] + random.nextInt(plane[1]));
      }
      return text.toString();
    }

    byte[] bytes() {
      byte[] bytes = new byte[length()];
      random.nextBytes(bytes);
      return bytes;
    }

    // Tagged fields of a later version, here and there in the message.
    void addUnknownTags(Object value) throws ReflectiveOperationException {
      if (value instanceof Collection<?> elements) {
        for (Object element : elements) addUnknownTags(element);
      }
      if (!(value instanceof Message message)) return;
      if (chance(30)) {
        int tag = 40 + random.nextInt(300);
        message.unknownTaggedFields().add(new RawTaggedField(tag, bytes()));
        if (chance(30)) message.unknownTaggedFields().add(new RawTaggedField(tag + 1 + random.nextInt(40000), bytes()));
      }
      for (Field field : value.getClass().getDeclaredFields()) {
        if (Modifier.isStatic(field.getModifiers()) || field.getType().isPrimitive()) continue;
        field.setAccessible(true);
        addUnknownTags(field.get(value));
      }
    }
  }

  static byte[] encode(Message message, short version) {
    ObjectSerializationCache cache = new ObjectSerializationCache();
    ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
    message.write(new ByteBufferAccessor(buffer), cache, version);
    if (buffer.hasRemaining()) throw new IllegalStateException(buffer.remaining() + " bytes not written");
    return buffer.array();
  }

  static boolean isFlexible(Schema schema) {
    BoundField[] fields = schema.fields();
    return fields.length > 0 && fields[fields.length - 1].def.type instanceof TaggedFields;
  }

  static Message instance(Kind kind, short version, Schema schema, Maker maker) throws ReflectiveOperationException {
    ObjectNode json = maker.object(schema, 0);
    Message message = (Message) kind.fromJson.invoke(null, json, version);
    if (!isFlexible(schema) || maker.chance(50)) return message;
    maker.addUnknownTags(message);
    try {
      encode(message, version);
      return message;
    } catch (UnsupportedVersionException inAbsentStruct) {  // a struct that the version lacks is no longer at its default
      return (Message) kind.fromJson.invoke(null, json, version);
    }
  }

  static void write(long seed, int count) throws Exception {
    Maker maker = new Maker(seed);
    try (PrintWriter out = new PrintWriter(new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8)))) {
      for (Kind kind : kinds().values()) {
        Message empty = kind.make();
        Schema[] schemas = (Schema[]) kind.type.getField("SCHEMAS").get(null);
        for (short version = empty.lowestSupportedVersion(); version <= empty.highestSupportedVersion(); version++) {
          for (int instance = 0; instance < count; instance++) {
            Message message = instance(kind, version, schemas[version], maker);
            out.println(kind.key() + " " + version + " " + HexFormat.of().formatHex(encode(message, version)) + " "
                + kind.toJson.invoke(null, message, version, true));
          }
        }
      }
    }
  }

  static void verify() throws Exception {
    Map<String, Kind> kinds = kinds();
    int right = 0;
    int wrong = 0;
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] words = line.split(" ", 5);
      String why = fault(kinds.get(words[0] + " " + words[1]), Short.parseShort(words[2]), words[3], words.length > 4 ? words[4] : null);
      if (why == null) {
        right++;
      } else if (wrong++ < 20) {
        System.out.println(words[0] + " " + words[1] + " " + words[2] + ": " + why);
      }
    }
    System.out.println(right + " compared, " + wrong + " different");
    if (wrong > 0) System.exit(1);
  }

  // What Kafka makes of bytes that another implementation wrote; null if it is the same.
  static String fault(Kind kind, short version, String hex, String json) {
    try {
      if (kind == null) return "no such class";
      Message message = kind.make();
      ByteBuffer bytes = ByteBuffer.wrap(HexFormat.of().parseHex(hex));
      message.read(new ByteBufferAccessor(bytes), version);
      if (bytes.hasRemaining()) return bytes.remaining() + " bytes left over";
      String again = HexFormat.of().formatHex(encode(message, version));
      if (!again.equals(hex)) return "got " + hex + ", Kafka has " + again;
      if (json == null) return null;
      JsonNode seen = MAPPER.readTree(kind.toJson.invoke(null, message, version, true).toString());
      return seen.equals(MAPPER.readTree(json)) ? null : "as JSON " + json + ", Kafka has " + seen;
    } catch (Exception fault) {
      return fault + (fault.getCause() == null ? "" : " because " + fault.getCause());
    }
  }

  public static void main(String[] words) throws Exception {
    switch (words.length > 0 ? words[0] : "") {
      case "write" -> write(Long.parseLong(words[1]), Integer.parseInt(words[2]));
      case "verify" -> verify();
      default -> throw new IllegalArgumentException("write SEED COUNT | verify");
    }
  }
}
