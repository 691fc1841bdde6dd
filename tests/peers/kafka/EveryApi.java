// Sends requests of every version to two brokers, through Kafka's own serializers, and reads the answers with them.
//
//   EveryApi HOST:PORT HOST:PORT <requests               requests: lines "ApiName {json}"; "#" begins a comment
//
// A request's JSON has the fields that matter, for all versions at once; the others get their defaults. "$id:NAME" stands
// for the id of a topic, "$records:N" for a batch of N records, "$version" for the version. Each request goes out in each version that the first
// broker advertises, on a connection of its own, to the first broker and then to the second, which so have the same state.
// "WAIT name" waits until both know the topic. Prints a line for each: api version first|second, and the answer as JSON or how it failed.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ApiVersionsRequestData;
import org.apache.kafka.common.message.ApiVersionsResponseData;
import org.apache.kafka.common.message.MetadataRequestData;
import org.apache.kafka.common.message.MetadataResponseData;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

public final class EveryApi {
  static final ObjectMapper MAPPER = new ObjectMapper();
  static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  static ByteBuffer encode(Message message, short version) {
    ObjectSerializationCache cache = new ObjectSerializationCache();
    ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
    message.write(new ByteBufferAccessor(buffer), cache, version);
    return buffer.flip();
  }

  // The body of the answer, still encoded; fails if the broker ends the connection.
  static ByteBuffer ask(String address, ApiKeys api, short version, Message body) throws Exception {
    String[] parts = address.split(":");
    try (Socket socket = new Socket(parts[0], Integer.parseInt(parts[1]))) {
      socket.setSoTimeout(15_000);
      ByteBuffer header = encode(new RequestHeaderData().setRequestApiKey(api.id).setRequestApiVersion(version).setCorrelationId(77)
          .setClientId("every"), api.requestHeaderVersion(version));
      ByteBuffer content = encode(body, version);
      ByteBuffer frame = ByteBuffer.allocate(4 + header.remaining() + content.remaining());
      frame.putInt(header.remaining() + content.remaining()).put(header).put(content);
      socket.getOutputStream().write(frame.array());
      DataInputStream in = new DataInputStream(socket.getInputStream());
      ByteBuffer answer = ByteBuffer.wrap(in.readNBytes(in.readInt()));
      ResponseHeaderData back = new ResponseHeaderData(new ByteBufferAccessor(answer), api.responseHeaderVersion(version));
      if (back.correlationId() != 77) throw new IllegalStateException("correlation id " + back.correlationId());
      return answer;
    }
  }

  // To JSON with "write", from it with "read".
  static Object converted(Class<?> type, String method, Object value, short version) throws Exception {
    Class<?> converter = Class.forName(type.getName() + "JsonConverter");
    try {
      return converter.getMethod(method, method.equals("read") ? JsonNode.class : type, short.class).invoke(null, value, version);
    } catch (InvocationTargetException fault) {
      if (fault.getCause() instanceof RuntimeException cause) throw cause;
      throw fault;
    }
  }

  // --- requests ---

  static String jsonName(String name) {
    if (name.startsWith("kraft_")) return "kRaft" + jsonName("_" + name.substring(6));
    StringBuilder json = new StringBuilder();
    boolean upper = false;
    for (char letter : name.toCharArray()) {
      if (letter != '_') json.append(upper ? Character.toUpperCase(letter) : letter);
      upper = letter == '_';
    }
    return json.toString();
  }

  static JsonNode plain(Type type) {
    if (type.isNullable()) return NODES.nullNode();
    if (type.isArray()) return NODES.arrayNode();
    if (type instanceof Schema schema) return filled(schema, NODES.objectNode(), NODES.objectNode());
    return switch (type.toString().replace("COMPACT_", "")) {
      case "STRING", "BYTES", "RECORDS" -> NODES.textNode("");
      case "BOOLEAN" -> NODES.booleanNode(false);
      case "UUID" -> NODES.textNode("AAAAAAAAAAAAAAAAAAAAAA");
      default -> NODES.numberNode(0);
    };
  }

  static JsonNode filled(Type type, JsonNode given) {
    if (given.isNull() && !type.isNullable()) return plain(type);
    if (type.isArray() && given.isArray()) {
      ArrayNode array = NODES.arrayNode();
      for (JsonNode each : given) array.add(filled(type.arrayElementType().get(), each));
      return array;
    }
    return type instanceof Schema schema && given.isObject() ? filled(schema, (ObjectNode) given, NODES.objectNode()) : given;
  }

  static ObjectNode filled(Schema schema, ObjectNode given, JsonNode defaults) {
    ObjectNode object = NODES.objectNode();
    for (BoundField field : schema.fields()) {
      if (field.def.type instanceof TaggedFields tagged) {
        for (var each : tagged.fields().values()) {
          String name = jsonName(each.name);
          if (given.has(name)) object.set(name, filled(each.type, given.get(name)));
        }
        continue;
      }
      String name = jsonName(field.def.name);
      JsonNode value = given.has(name) ? filled(field.def.type, given.get(name)) : defaults.has(name) ? defaults.get(name) : plain(field.def.type);
      object.set(name, value);
    }
    return object;
  }

  static Map<String, String> topicIds(String address) throws Exception {
    ByteBuffer answer = ask(address, ApiKeys.METADATA, (short) 12, new MetadataRequestData().setTopics(null));
    Map<String, String> ids = new HashMap<>();
    for (var topic : new MetadataResponseData(new ByteBufferAccessor(answer), (short) 12).topics()) ids.put(topic.name(), topic.topicId().toString());
    return ids;
  }

  static String batch(int count, long time) {
    SimpleRecord[] records = new SimpleRecord[count];
    for (int i = 0; i < count; i++) records[i] = new SimpleRecord(time + i, ("k" + i).getBytes(StandardCharsets.UTF_8), ("v" + i).getBytes(StandardCharsets.UTF_8));
    ByteBuffer buffer = MemoryRecords.withRecords(Compression.NONE, records).buffer();
    byte[] bytes = new byte[buffer.remaining()];
    buffer.get(bytes);
    return Base64.getEncoder().encodeToString(bytes);
  }

  static String substituted(String json, Map<String, String> ids) {
    for (var each : ids.entrySet()) json = json.replace("$id:" + each.getKey() + "\"", each.getValue() + "\"");
    for (int count = 1; count < 10; count++) json = json.replace("$records:" + count, batch(count, 1_700_000_000_000L));
    return json;
  }

  // The answer as JSON, or how it failed.
  static String outcome(String address, ApiKeys api, short version, String json) {
    ApiMessage request = ApiMessageType.fromApiKey(api.id).newRequest();
    Schema schema = ApiMessageType.fromApiKey(api.id).requestSchemas()[version];
    Map<String, String> ids = Map.of();
    try {
      if (json.contains("$id:")) ids = topicIds(address);
      json = substituted(json, ids);
      JsonNode defaults = NODES.objectNode();
      try {
        defaults = (JsonNode) converted(request.getClass(), "write", request, version);
      } catch (UnsupportedVersionException notInThisVersion) {
        // filled() has a value for each field
      }
      ObjectNode whole = filled(schema, (ObjectNode) MAPPER.readTree(json), defaults);
      request = (ApiMessage) converted(request.getClass(), "read", whole, version);
    } catch (Exception fault) {
      return "cannot be made: " + fault;
    }
    ByteBuffer answer;
    try {
      answer = ask(address, api, version, request);
    } catch (java.io.EOFException | java.net.SocketException closed) {
      return "closed";
    } catch (Exception fault) {
      return "no answer: " + fault;
    }
    try {
      ApiMessage response = ApiMessageType.fromApiKey(api.id).newResponse();
      response.read(new ByteBufferAccessor(answer), version);
      if (answer.hasRemaining()) return "does not decode: " + answer.remaining() + " bytes left over";
      String text = converted(response.getClass(), "write", response, version).toString();
      for (var each : ids.entrySet()) text = text.replace("\"" + each.getValue() + "\"", "\"$id:" + each.getKey() + "\"");
      return text;
    } catch (Exception fault) {
      return "does not decode: " + fault;
    }
  }

  public static void main(String[] words) throws Exception {
    List<String> wanted = new ArrayList<>();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      if (!line.isBlank() && !line.startsWith("#")) wanted.add(line);
    }
    ByteBuffer answer = ask(words[0], ApiKeys.API_VERSIONS, (short) 3,
        new ApiVersionsRequestData().setClientSoftwareName("every").setClientSoftwareVersion("1"));
    ApiVersionsResponseData advertised = new ApiVersionsResponseData(new ByteBufferAccessor(answer), (short) 3);
    for (String line : wanted) {
      String[] parts = line.split(" ", 2);
      if (parts[0].equals("WAIT")) {
        while (!topicIds(words[0]).containsKey(parts[1]) || !topicIds(words[1]).containsKey(parts[1])) Thread.onSpinWait();
        continue;
      }
      ApiKeys api = ApiKeys.valueOf(parts[0]);
      var range = advertised.apiKeys().find(api.id);
      if (range == null) continue;
      int oldest = Math.max(range.minVersion(), ApiMessageType.fromApiKey(api.id).lowestSupportedVersion());
      for (int version = oldest; version <= range.maxVersion(); version++) {
        String json = parts[1].replace("$version", Integer.toString(version));
        System.out.println(api + " " + version + " first " + outcome(words[0], api, (short) version, json));
        System.out.println(api + " " + version + " second " + outcome(words[1], api, (short) version, json));
      }
    }
    for (var range : advertised.apiKeys()) {
      String name = ApiKeys.hasId(range.apiKey()) ? ApiKeys.forId(range.apiKey()).toString() : "" + range.apiKey();
      if (wanted.stream().noneMatch(line -> line.startsWith(name + " "))) System.out.println(name + " never sent");
    }
  }
}
