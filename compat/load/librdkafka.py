"""Produces PRODUCER.0, PRODUCER.1, ... with librdkafka until SIGTERM, and prints what became of each record as Apache's
verifiable producer does.

usage: librdkafka.py ADDRESSES TOPIC PRODUCER RATE
"""

import faulthandler
import json
import signal
import sys
import time

from confluent_kafka import Producer

addresses, topic, producer, rate = sys.argv[1:]
stopping = False


def stop(*_):
    global stopping
    stopping = True


def told(err, message):
    """Prints how it went. A failure that librdkafka calls fatal comes for every record that was under way."""
    value = message.value().decode()
    if err is not None:
        event = {"name": "producer_send_error", "value": value, "message": str(err)}
    else:
        event = {"name": "producer_send_success", "value": value, "partition": message.partition(), "offset": message.offset()}
    print(json.dumps(event), flush=True)


faulthandler.enable()  # a crash of the library leaves a trace
faulthandler.register(signal.SIGUSR1)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
p = Producer({
    "bootstrap.servers": addresses,
    "enable.idempotence": True,
    "message.timeout.ms": 600000,
    "request.timeout.ms": 10000,
    "socket.timeout.ms": 15000,
    "linger.ms": 5,
    "topic.metadata.refresh.interval.ms": 5000,
    "log_level": 4,
})
n = 0
while not stopping:
    try:
        p.produce(topic, f"{producer}.{n}", on_delivery=told)
        n += 1
    except BufferError:  # the queue is full: nothing is acknowledged for now
        p.poll(0.1)
    p.poll(0)
    time.sleep(1 / float(rate))
if p.flush(100) == 0:
    print(json.dumps({"name": "shutdown_complete"}), flush=True)
