"""Drives one Python client. The commands and what they print are described in ../doc.go.

usage: driver.py LIBRARY COMMAND ADDRESS TOPIC [ARGUMENT...]
"""

import asyncio
import json
import sys
import threading


def say(*words):
    print(*words, flush=True)


def show(step, f):
    """Prints what a step of the admin command answered, or how it failed."""
    try:
        say(step, json.dumps(f(), sort_keys=True, default=str))
    except Exception as e:  # the kind of failure is part of what is compared
        say(step, "failed:", describe(e))


def describe(e):
    code = getattr(e, "errno", None)
    if e.args and hasattr(e.args[0], "name"):
        return e.args[0].name()
    return type(e).__name__ if code is None else f"{type(e).__name__} {code}"


def ordered(topics):
    """Topics with their partitions in order, which brokers do not promise."""
    for t in topics:
        t["partitions"].sort(key=lambda p: p.get("partition_index", p.get("partition")))
    return topics


class Stopped:
    """Turns true when stdin is closed: the harness wants the group member to leave."""

    def __init__(self):
        self.event = threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        sys.stdin.read()
        self.event.set()

    def __bool__(self):
        return self.event.is_set()


def message(i):
    return b"k-%d" % (i % 7), b"v-%d" % i


class Librdkafka:
    def __init__(self, address, topic):
        from confluent_kafka import Consumer, Producer, TopicPartition

        self.Consumer, self.Producer, self.TopicPartition = Consumer, Producer, TopicPartition
        self.address, self.topic = address, topic

    def produce(self, count, codec):
        failed = []
        p = self.Producer({"bootstrap.servers": self.address, "enable.idempotence": True, "compression.type": codec, "linger.ms": 5})
        for i in range(count):
            key, value = message(i)
            p.produce(self.topic, value, key, on_delivery=lambda err, _: failed.append(err) if err else None)
            p.poll(0)
        left = p.flush(60)
        if failed or left:
            raise SystemExit(f"not delivered: {left} {failed[:3]}")

    def consume(self, count):
        c = self.Consumer({"bootstrap.servers": self.address, "group.id": "none", "auto.offset.reset": "earliest", "enable.auto.commit": False})
        partitions = c.list_topics(self.topic, 20).topics[self.topic].partitions
        c.assign([self.TopicPartition(self.topic, p, 0) for p in partitions])
        while count > 0:
            m = c.poll(30)
            if m is None or m.error():
                raise SystemExit(f"no record: {m and m.error()}")
            say("record", m.partition(), m.offset(), m.value().decode())
            count -= 1
        c.close()

    def group(self, group):
        stopped = Stopped()
        c = self.Consumer({"bootstrap.servers": self.address, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                           "session.timeout.ms": 10000, "heartbeat.interval.ms": 500, "topic.metadata.refresh.interval.ms": 1000})
        c.subscribe([self.topic], on_assign=lambda _, ps: say("assigned", *sorted(p.partition for p in ps)))
        while not stopped:
            m = c.poll(0.1)
            if m is None or m.error():
                continue
            say("record", m.partition(), m.offset(), m.value().decode())
            try:
                c.commit(m, asynchronous=False)
            except Exception as e:
                say("commit failed", e)
        c.close()

    def admin(self):
        from confluent_kafka import ConsumerGroupTopicPartitions, TopicCollection
        from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec

        a = AdminClient({"bootstrap.servers": self.address})
        t = self.topic

        def each(futures):
            return {str(k): plain(f.result(30)) for k, f in futures.items()}

        def plain(v):
            if isinstance(v, (str, int, float, list, type(None))):
                return v
            return {k.lstrip("_"): str(x) for k, x in sorted(vars(v).items())} if hasattr(v, "__dict__") else str(v)

        def configs():
            got = a.describe_configs([ConfigResource("topic", t)])
            return {n: [e.value, e.is_default, e.is_read_only, e.source] for f in got.values() for n, e in f.result(30).items()}

        show("create", lambda: each(a.create_topics([NewTopic(t, 3, 1, config={"retention.ms": "1000000"})])))
        show("create again", lambda: each(a.create_topics([NewTopic(t, 3, 1)])))
        show("create bad", lambda: each(a.create_topics([NewTopic(t + "-b", 3, 9)])))
        show("describe", lambda: {n: [d.name, [[p.id, p.leader.id, [r.id for r in p.replicas], [r.id for r in p.isr]] for p in sorted(d.partitions, key=lambda p: p.id)]]
                                  for n, d in ((n, f.result(30)) for n, f in a.describe_topics(TopicCollection([t])).items())})
        show("grow", lambda: each(a.create_partitions([NewPartitions(t, 5)])))
        show("shrink", lambda: each(a.create_partitions([NewPartitions(t, 2)])))
        show("configs", configs)
        r = ConfigResource("topic", t, incremental_configs=[ConfigEntry("cleanup.policy", "compact,delete", incremental_operation=AlterConfigOpType.SET),
                                                            ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)])
        show("alter", lambda: [plain(f.result(30)) for f in a.incremental_alter_configs([r]).values()])
        show("configs", configs)
        show("broker", lambda: {n: e.is_default for f in a.describe_configs([ConfigResource("broker", "0")]).values() for n, e in f.result(30).items()
                                if not n.startswith("zookeeper")})
        show("cluster", lambda: [len(a.describe_cluster().result(30).nodes), a.describe_cluster().result(30).controller.id])
        self.produce(50, "lz4")
        show("delete records", lambda: [f.result(30).low_watermark for f in a.delete_records([self.TopicPartition(t, 0, 0)]).values()])
        for name, spec in ("latest", OffsetSpec.latest()), ("earliest", OffsetSpec.earliest()), ("time", OffsetSpec.for_timestamp(1)):
            show("offsets " + name, lambda: sorted([p.partition, f.result(30).offset, f.result(30).leader_epoch] for p, f in
                                                   a.list_offsets({self.TopicPartition(t, p): spec for p in range(5)}).items()))
        g = t + "-group"
        show("alter offsets", lambda: [[p.offset, str(p.error)] for f in a.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(g, [self.TopicPartition(t, 0, 7)])]).values() for p in f.result(30).topic_partitions])
        show("list offsets", lambda: [[p.partition, p.offset] for f in a.list_consumer_group_offsets([ConsumerGroupTopicPartitions(g)]).values() for p in f.result(30).topic_partitions])
        show("describe group", lambda: [[d.group_id, str(d.state), len(d.members)] for f in a.describe_consumer_groups([g]).values() for d in [f.result(30)]])
        show("list groups", lambda: g in [x.group_id for x in a.list_consumer_groups().result(30).valid])
        show("delete group", lambda: each(a.delete_consumer_groups([g])))
        show("delete group again", lambda: each(a.delete_consumer_groups([g])))
        show("delete", lambda: each(a.delete_topics([t])))
        show("delete unknown", lambda: each(a.delete_topics([t + "-no"])))


class KafkaPython:
    def __init__(self, address, topic):
        import kafka

        self.kafka, self.address, self.topic = kafka, address, topic

    def produce(self, count, codec):
        p = self.kafka.KafkaProducer(bootstrap_servers=self.address, acks="all", compression_type=None if codec == "none" else codec, linger_ms=5)
        sent = [p.send(self.topic, key=message(i)[0], value=message(i)[1]) for i in range(count)]
        p.flush(60)
        for f in sent:
            f.get(30)
        p.close()

    def consumer(self, *topics, **more):
        return self.kafka.KafkaConsumer(*topics, bootstrap_servers=self.address, auto_offset_reset="earliest", enable_auto_commit=False, metadata_max_age_ms=1000, **more)

    def consume(self, count):
        c = self.consumer()
        c.assign([self.kafka.TopicPartition(self.topic, p) for p in c.partitions_for_topic(self.topic)])
        c.seek_to_beginning()
        while count > 0:
            got = c.poll(30000)
            if not got:
                raise SystemExit("no records")
            for records in got.values():
                for m in records:
                    say("record", m.partition, m.offset, m.value.decode())
                    count -= 1
        c.close()

    def group(self, group):
        stopped = Stopped()

        class Listener(self.kafka.ConsumerRebalanceListener):
            def on_partitions_revoked(self, revoked):
                pass

            def on_partitions_assigned(self, assigned):
                say("assigned", *sorted(p.partition for p in assigned))

        c = self.consumer(group_id=group, session_timeout_ms=10000, heartbeat_interval_ms=500)
        c.subscribe([self.topic], listener=Listener())
        # A leader that learns of the topic's partitions only after its first join joins again for them. When a poll's time ends in the
        # middle of that second join, kafka-python 3.0 waits for its result no more: it holds nothing and beats no more. So let it
        # know the partitions first.
        while not c.partitions_for_topic(self.topic):
            stopped.event.wait(0.1)
        while not stopped:
            for records in c.poll(100).values():
                for m in records:
                    say("record", m.partition, m.offset, m.value.decode())
                try:
                    c.commit()
                except Exception as e:
                    say("commit failed", e)
        c.close()

    def admin(self):
        from kafka.admin import ConfigResource, ConfigResourceType

        a = self.kafka.KafkaAdminClient(bootstrap_servers=self.address)
        t = self.topic
        show("create", lambda: a.create_topics({t: {"num_partitions": 3, "replication_factor": 1, "configs": {"retention.ms": "1000000"}}}))
        show("create again", lambda: a.create_topics({t: {"num_partitions": 3, "replication_factor": 1}}))
        show("describe", lambda: ordered(a.describe_topics([t])))
        show("grow", lambda: a.create_partitions({t: 5}))
        show("shrink", lambda: a.create_partitions({t: 2}))
        topic = ConfigResource(ConfigResourceType.TOPIC, t)
        show("configs", lambda: a.describe_configs([topic], config_filter="all"))
        show("alter", lambda: a.alter_configs([ConfigResource(ConfigResourceType.TOPIC, t, configs={"cleanup.policy": "compact,delete"})]))
        show("configs", lambda: a.describe_configs([topic]))
        show("cluster", a.describe_cluster)
        self.produce(50, "gzip")
        tp = self.kafka.TopicPartition
        show("delete records", lambda: {str(k): v for k, v in a.delete_records({tp(t, 0): 0}).items()})
        show("offsets", lambda: sorted(map(str, a.list_partition_offsets({tp(t, p): -1 for p in range(5)}).items())))
        show("delete", lambda: a.delete_topics([t]))
        show("delete unknown", lambda: a.delete_topics([t + "-no"]))


class Aiokafka:
    def __init__(self, address, topic):
        import aiokafka

        from aiokafka.coordinator.assignors.range import RangePartitionAssignor
        from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

        self.aiokafka, self.address, self.topic = aiokafka, address, topic
        self.assignors = (RoundRobinPartitionAssignor, RangePartitionAssignor)  # its own, and the one that all clients know

    def produce(self, count, codec):
        async def run():
            p = self.aiokafka.AIOKafkaProducer(bootstrap_servers=self.address, enable_idempotence=True, compression_type=None if codec == "none" else codec, linger_ms=5)
            await p.start()
            try:
                for f in [await p.send(self.topic, key=message(i)[0], value=message(i)[1]) for i in range(count)]:
                    await f
            finally:
                await p.stop()

        asyncio.run(run())

    def consume(self, count):
        async def run(left):
            c = self.aiokafka.AIOKafkaConsumer(self.topic, bootstrap_servers=self.address, auto_offset_reset="earliest")
            await c.start()
            try:
                while left > 0:
                    m = await asyncio.wait_for(c.getone(), 30)
                    say("record", m.partition, m.offset, m.value.decode())
                    left -= 1
            finally:
                await c.stop()

        asyncio.run(run(count))

    def group(self, group):
        stopped = Stopped()

        class Listener(self.aiokafka.ConsumerRebalanceListener):
            async def on_partitions_revoked(self, revoked):
                pass

            async def on_partitions_assigned(self, assigned):
                say("assigned", *sorted(p.partition for p in assigned))

        async def run():
            c = self.aiokafka.AIOKafkaConsumer(bootstrap_servers=self.address, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
                                               session_timeout_ms=10000, heartbeat_interval_ms=500, metadata_max_age_ms=1000,
                                               partition_assignment_strategy=self.assignors)
            c.subscribe([self.topic], listener=Listener())
            await c.start()
            while not stopped:
                for records in (await c.getmany(timeout_ms=100)).values():
                    for m in records:
                        say("record", m.partition, m.offset, m.value.decode())
                    try:
                        await c.commit()
                    except Exception as e:
                        say("commit failed", e)
            await c.stop()

        asyncio.run(run())

    def admin(self):
        from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
        from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

        async def run():
            a = AIOKafkaAdminClient(bootstrap_servers=self.address)
            await a.start()
            t = self.topic

            async def step(name, call):
                try:
                    say(name, str(await call))
                except Exception as e:
                    say(name, "failed:", describe(e))

            await step("create", a.create_topics([NewTopic(t, 3, 1, topic_configs={"retention.ms": "1000000"})]))
            await step("create again", a.create_topics([NewTopic(t, 3, 1)]))
            async def describe():
                return ordered(await a.describe_topics([t]))

            await step("describe", describe())
            await step("grow", a.create_partitions({t: NewPartitions(5)}))
            await step("configs", a.describe_configs([ConfigResource(ConfigResourceType.TOPIC, t, configs={"retention.ms": None})]))
            await step("alter", a.alter_configs([ConfigResource(ConfigResourceType.TOPIC, t, configs={"cleanup.policy": "compact,delete"})]))
            await step("cluster", a.describe_cluster())
            await step("delete", a.delete_topics([t]))
            await a.close()

        asyncio.run(run())


def main():
    library, command, address, topic, *rest = sys.argv[1:]
    client = {"librdkafka": Librdkafka, "kafka-python": KafkaPython, "aiokafka": Aiokafka}[library](address, topic)
    if command == "produce":
        client.produce(int(rest[0]), rest[1])
    elif command == "consume":
        client.consume(int(rest[0]))
    elif command == "group":
        client.group(rest[0])
    elif command == "admin":
        client.admin()
    say("done")


main()
