// kafkajs, as tests/peers/checks/clients.py calls it: see PROTOCOL there. Its consumer knows groups only, so records are
// fetched with the library's own broker object, underneath the consumer.
const fs = require('fs')
const { Kafka, CompressionTypes, CompressionCodecs, logLevel, KafkaJSProtocolError } = require('kafkajs')
const Cluster = require('kafkajs/src/cluster')
const defaultSocketFactory = require('kafkajs/src/network/socketFactory')
const { createLogger } = require('kafkajs/src/loggers')
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')

const BASE_TIME = 1700000000000
const client = bootstrap => new Kafka({ clientId: 'peers', brokers: [bootstrap], logLevel: logLevel.NOTHING })
const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }

async function produce(bootstrap, topic, file, size, codec) {
  const content = fs.readFileSync(file)
  const producer = client(bootstrap).producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  let count = 0
  for (let at = 0; at < content.length; ) {
    const messages = []
    for (; at < content.length && messages.length < 200; at += size, count++) {
      messages.push({ partition: 0, key: `k${count}`, value: content.subarray(at, at + size), timestamp: `${BASE_TIME + count}`, headers: { n: `${count}` } })
    }
    const [sent] = await producer.send({ topic, messages, compression: codecs[codec] })
    if (Number(sent.baseOffset) !== count - messages.length) throw new Error(`batch at ${count - messages.length} got offset ${sent.baseOffset}`)
  }
  await producer.disconnect()
  return { count }
}

async function consume(bootstrap, topic, file, count) {
  const logger = createLogger({ level: logLevel.NOTHING, logCreator: require('kafkajs/src/loggers/console') })
  const cluster = new Cluster({ logger, socketFactory: defaultSocketFactory(), brokers: [bootstrap], clientId: 'peers', offsets: new Map(), connectionTimeout: 5000,
    authenticationTimeout: 5000, requestTimeout: 30000, enforceRequestTimeout: true, metadataMaxAge: 300000, retry: { retries: 5 }, maxInFlightRequests: 5 })
  await cluster.connect()
  await cluster.addTargetTopic(topic)
  const [leader] = Object.keys(cluster.findLeaderForPartitions(topic, [0]))
  const broker = await cluster.findBroker({ nodeId: leader })
  const out = fs.openSync(file, 'w')
  let seen = 0
  while (seen < count) {
    const { responses } = await broker.fetch({ replicaId: -1, isolationLevel: 1, maxWaitTime: 1000, minBytes: 1, maxBytes: 10485760,
      topics: [{ topic, partitions: [{ partition: 0, fetchOffset: String(seen), maxBytes: 1048576 }] }], rackId: '' })
    for (const message of responses[0].partitions[0].messages) {
      if (Number(message.offset) < seen) continue // the batch that holds the offset begins before it
      if (Number(message.offset) !== seen || Number(message.timestamp) !== BASE_TIME + seen || String(message.key) !== `k${seen}` || String(message.headers.n) !== `${seen}`) {
        throw new Error(`record ${seen} is ${JSON.stringify(message).slice(0, 300)}`)
      }
      fs.writeSync(out, message.value)
      seen++
    }
  }
  fs.closeSync(out)
  await cluster.disconnect()
  return { count: seen }
}

async function admin(bootstrap, topic) {
  const kafka = client(bootstrap)
  const admin = kafka.admin()
  await admin.connect()
  const out = {}
  const create = { topic, numPartitions: 3, replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '1234567' }] }
  await admin.createTopics({ topics: [create], waitForLeaders: true })
  out.again = (await admin.createTopics({ topics: [create] })) ? 'NONE' : 'TOPIC_ALREADY_EXISTS' // kafkajs answers false for it
  out.brokers = (await admin.describeCluster()).brokers.length
  out.listed = (await admin.listTopics()).includes(topic)
  const retention = async () => Number((await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: topic }] }))
    .resources[0].configEntries.find(entry => entry.configName === 'retention.ms').configValue)
  out.retention = await retention()
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: topic, configEntries: [{ name: 'retention.ms', value: '7654321' }] }] })
  while ((out.altered = await retention()) === out.retention); // a broker learns it a moment after the controller
  await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
  const partitions = async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.filter(one => one.leader >= 0).length
  while ((out.partitions = await partitions()) < 5);
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages: Array.from({ length: 100 }, (_, i) => ({ partition: 0, value: `v${i}` })) })
  await producer.disconnect()
  const offsets = async () => (await admin.fetchTopicOffsets(topic)).find(one => one.partition === 0)
  out.end = Number((await offsets()).high)
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '40' }] })
  out.start = out.low = Number((await offsets()).low)
  await admin.deleteTopics({ topics: [topic] })
  while ((await admin.listTopics()).includes(topic));
  out.deleted = true
  await admin.disconnect()
  return out
}

const [command, ...words] = process.argv.slice(2)
const commands = {
  produce: () => produce(words[0], words[1], words[2], Number(words[3]), words[4]),
  consume: () => consume(words[0], words[1], words[2], Number(words[3])),
  admin: () => admin(words[0], words[1]),
}
commands[command]().then(out => console.log(JSON.stringify(out)), error => {
  console.error(error instanceof KafkaJSProtocolError ? `${error.type}: ${error.message}` : error.stack)
  process.exit(1)
})
