"""Drives transactions of librdkafka. The commands are described in ../doc.go.

usage: driver.py copy ADDRESSES INPUT OUTPUT GROUP ID
       driver.py script ADDRESSES
"""

import faulthandler
import random
import signal
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

stopped = False


def stop(*_):
    global stopped
    stopped = True


def transactional(addresses, name, timeout_ms):
    p = Producer({"bootstrap.servers": addresses, "transactional.id": name, "transaction.timeout.ms": timeout_ms, "linger.ms": 1})
    p.init_transactions(60)
    return p


class Copier:
    """Copies a topic, partition by partition, in transactions that commit the offsets of what they copied."""

    def __init__(self, addresses, source, target, group, name):
        self.producer = transactional(addresses, name, 10000)
        self.consumer = Consumer({"bootstrap.servers": addresses, "group.id": group, "isolation.level": "read_committed", "enable.auto.commit": False,
                                  "auto.offset.reset": "earliest", "session.timeout.ms": 6000, "heartbeat.interval.ms": 500})
        self.consumer.subscribe([source])
        self.target = target

    def run(self):
        while not stopped:
            batch = [m for m in self.consumer.consume(50, 0.2) if not m.error()]
            if batch:
                self.once(batch)
        self.consumer.close()

    def once(self, batch):
        """Each seventh transaction is aborted for no reason, and its records are read again."""
        faulthandler.dump_traceback_later(15, exit=True)  # it may hang when its only broker was away; it is started again
        try:
            self.producer.begin_transaction()
            self.fill(batch)
            if random.randrange(7):
                self.retried(self.producer.commit_transaction)
                print("committed", len(batch), flush=True)
                return
            print("gives up", len(batch), flush=True)
        except KafkaException as e:
            print("failed", e, flush=True)
            if not e.args[0].txn_requires_abort():
                raise
        self.retried(self.producer.abort_transaction)
        self.rewind()

    def fill(self, batch):
        offsets = {}
        for m in batch:
            self.producer.produce(self.target, m.value(), m.key(), m.partition())
            self.producer.poll(0)
            offsets[m.topic(), m.partition()] = m.offset() + 1
        positions = [TopicPartition(t, p, o) for (t, p), o in offsets.items()]
        self.retried(self.producer.send_offsets_to_transaction, positions, self.consumer.consumer_group_metadata())

    def retried(self, f, *args):
        for left in range(4, -1, -1):
            try:
                return f(*args, 30)
            except KafkaException as e:
                print("failed", left, e, flush=True)
                if not left or not e.args[0].retriable():
                    raise

    def rewind(self):
        """Goes back to what is committed. Partitions that were lost meanwhile are read from there anyway."""
        held = self.consumer.assignment()
        for p in self.retried(self.consumer.committed, held) if held else []:
            self.consumer.seek(TopicPartition(p.topic, p.partition, max(p.offset, 0)))


class Script:
    """Does what it is told line by line, with producers that have names."""

    def __init__(self, addresses):
        self.addresses, self.producers, self.members = addresses, {}, []

    def run(self):
        for line in sys.stdin:
            command, name, *rest = line.split()
            faulthandler.dump_traceback_later(80)  # what it hangs in, should it hang
            try:
                getattr(self, command)(name, *rest)
                print("ok", flush=True)
            except KafkaException as e:
                print("failed", e.args[0].name(), *(w for w in ("fatal", "retriable", "txn_requires_abort") if getattr(e.args[0], w)()), flush=True)

    def init(self, name, transactional_id, timeout_ms):
        self.producers[name] = transactional(self.addresses, transactional_id, int(timeout_ms))

    def begin(self, name):
        self.producers[name].begin_transaction()

    def send(self, name, topic, partitions, value):
        failed = []
        for i in range(int(partitions)):
            self.producers[name].produce(topic, value, partition=i, on_delivery=lambda err, _: failed.append(err) if err else None)
        self.producers[name].flush(60)
        if failed:
            raise KafkaException(failed[0])

    def offsets(self, name, group, topic, offset):
        member = Consumer({"bootstrap.servers": self.addresses, "group.id": group})
        self.producers[name].send_offsets_to_transaction([TopicPartition(topic, 0, int(offset))], member.consumer_group_metadata(), 60)
        self.members.append(member)  # to close it may take as long as to join a group

    def commit(self, name):
        self.producers[name].commit_transaction(60)

    def abort(self, name):
        self.producers[name].abort_transaction(60)

    def close(self, name):
        del self.producers[name]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    {"copy": Copier, "script": Script}[sys.argv[1]](*sys.argv[2:]).run()
