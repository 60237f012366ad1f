// Drives kafkajs. The commands and what they print are described in ../doc.go.
// usage: driver.js COMMAND ADDRESS TOPIC [ARGUMENT...]
const { Kafka, logLevel, CompressionTypes, ConfigResourceTypes, PartitionAssigners } = require('kafkajs')

const [command, address, topic, ...rest] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'compat', brokers: [address], logLevel: logLevel.NOTHING, retry: { retries: 20 } })
const say = (...words) => console.log(...words)
const sorted = (v) => (Array.isArray(v) ? v.map(sorted) : v && typeof v === 'object' ? Object.fromEntries(Object.keys(v).sort().map((k) => [k, sorted(v[k])])) : v)

async function show(step, f) {
  try {
    say(step, JSON.stringify(sorted(await f())))
  } catch (e) {
    say(step, 'failed:', e.type || (e.errors || []).map((x) => x.type).join() || e.name)
  }
}

async function produce(count, codec) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const compression = codec === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None
  for (let i = 0; i < count; i += 100) {
    const messages = []
    for (let j = i; j < Math.min(i + 100, count); j++) messages.push({ key: `k-${j % 7}`, value: `v-${j}` })
    await producer.send({ topic, messages, acks: -1, compression })
  }
  await producer.disconnect()
}

// By itself kafkajs offers only an assigner that no other client knows. Under the name of one that all know it is as good.
const range = (options) => ({ ...PartitionAssigners.roundRobin(options), name: 'range' })
const partitionAssigners = [PartitionAssigners.roundRobin, range]

async function run(group, each, options = {}) {
  const consumer = kafka.consumer({ groupId: group, sessionTimeout: 10000, heartbeatInterval: 500, rebalanceTimeout: 20000, metadataMaxAge: 1000, partitionAssigners, ...options })
  consumer.on(consumer.events.GROUP_JOIN, (e) => say('assigned', ...(e.payload.memberAssignment[topic] || []).slice().sort()))
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      say('record', partition, message.offset, message.value.toString())
      await each(consumer, partition, message)
    },
  })
  return consumer
}

async function consume(count) {
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no records')), 60000)
    let consumer
    const each = async () => {
      if (--count === 0) {
        clearTimeout(timer)
        setImmediate(() => consumer.disconnect().then(resolve, reject))
      }
    }
    run(`${topic}-once`, each).then((c) => { consumer = c }, reject)
  })
}

async function group(name) {
  const stopped = new Promise((resolve) => process.stdin.on('end', resolve).resume())
  const consumer = await run(name, async (c, partition, message) => {
    try {
      await c.commitOffsets([{ topic, partition, offset: (BigInt(message.offset) + 1n).toString() }])
    } catch (e) {
      say('commit failed', e.type || e.name)
    }
  })
  await stopped
  await consumer.disconnect()
}

async function admin() {
  const a = kafka.admin()
  await a.connect()
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
  const configs = () => a.describeConfigs({ resources: [resource], includeSynonyms: true })
    .then((r) => r.resources[0].configEntries.sort((x, y) => (x.configName < y.configName ? -1 : 1)))
  await show('create', () => a.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '1000000' }] }], waitForLeaders: true }))
  await show('create again', () => a.createTopics({ topics: [{ topic }] }))
  await show('create bad', () => a.createTopics({ topics: [{ topic: topic + '-b', numPartitions: 1, replicationFactor: 5 }] }))
  await show('describe', () => a.fetchTopicMetadata({ topics: [topic] }).then((m) => m.topics.map((t) => [t.name, t.partitions.sort((x, y) => x.partitionId - y.partitionId)])))
  await show('grow', () => a.createPartitions({ topicPartitions: [{ topic, count: 5 }] }))
  await show('configs', configs)
  await show('alter', () => a.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: [{ name: 'cleanup.policy', value: 'compact,delete' }] }] }))
  await show('configs', configs)
  await show('cluster', () => a.describeCluster())
  await produce(50, 'gzip')
  await show('offsets', () => a.fetchTopicOffsets(topic).then((o) => o.sort((x, y) => x.partition - y.partition)))
  await show('offsets by time', () => a.fetchTopicOffsetsByTimestamp(topic, 1).then((o) => o.sort((x, y) => x.partition - y.partition)))
  await show('set offsets', () => a.setOffsets({ groupId: topic + '-g', topic, partitions: [{ partition: 0, offset: '3' }] }))
  await show('fetch offsets', () => a.fetchOffsets({ groupId: topic + '-g', topics: [topic] }).then((o) => o.map((t) => [t.topic, t.partitions.sort((x, y) => x.partition - y.partition)])))
  await show('describe groups', () => a.describeGroups([topic + '-g']))
  await show('list groups', () => a.listGroups().then((g) => g.groups.filter((x) => x.groupId === topic + '-g')))
  await show('delete groups', () => a.deleteGroups([topic + '-g']))
  await show('delete', () => a.deleteTopics({ topics: [topic] }))
  await a.disconnect()
}

const commands = { produce: () => produce(Number(rest[0]), rest[1]), consume: () => consume(Number(rest[0])), group: () => group(rest[0]), admin }
commands[command]().then(() => { say('done'); process.exit(0) }, (e) => { console.error(e); process.exit(1) })
