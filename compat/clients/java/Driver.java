import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

/**
 * Drives a Java client of any version from 0.10 on; what differs between versions is in the class Version (old/ and new/).
 * The commands and what they print are described in ../doc.go. usage: Driver COMMAND ADDRESS TOPIC [ARGUMENT...]
 */
public class Driver {
    static String address, topic;

    public static void main(String[] args) throws Exception {
        address = args[1];
        topic = args[2];
        switch (args[0]) {
            case "produce": produce(Integer.parseInt(args[3]), args[4]); break;
            case "consume": consume(Integer.parseInt(args[3])); break;
            case "group": group(args[3]); break;
            case "admin": Version.admin(address, topic); break;
            default: throw new IllegalArgumentException(args[0]);
        }
        say("done");
        System.exit(0);
    }

    static synchronized void say(Object... words) {
        StringBuilder line = new StringBuilder();
        for (Object w : words) line.append(line.length() == 0 ? "" : " ").append(w);
        System.out.println(line);
    }

    static Properties properties(String... pairs) {
        Properties p = new Properties();
        p.put("bootstrap.servers", address);
        for (int i = 0; i < pairs.length; i += 2) p.put(pairs[i], pairs[i + 1]);
        return p;
    }

    static void produce(int count, String codec) throws Exception {
        String string = "org.apache.kafka.common.serialization.StringSerializer";
        Properties p = properties("acks", "all", "compression.type", codec, "linger.ms", "5", "retries", "10", "key.serializer", string, "value.serializer", string);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(p)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < count; i++) sent.add(producer.send(new ProducerRecord<>(topic, "k-" + i % 7, "v-" + i)));
            for (Future<RecordMetadata> f : sent) f.get();
        }
    }

    static KafkaConsumer<String, String> consumer(String... pairs) {
        String string = "org.apache.kafka.common.serialization.StringDeserializer";
        Properties p = properties("auto.offset.reset", "earliest", "enable.auto.commit", "false", "key.deserializer", string, "value.deserializer", string, "metadata.max.age.ms", "1000");
        p.putAll(properties(pairs));
        return new KafkaConsumer<>(p);
    }

    static void print(ConsumerRecord<String, String> r) {
        say("record", r.partition(), r.offset(), r.value());
    }

    static void consume(int count) {
        try (KafkaConsumer<String, String> c = consumer("group.id", "none")) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (PartitionInfo p : c.partitionsFor(topic)) partitions.add(new TopicPartition(topic, p.partition()));
            c.assign(partitions);
            c.seekToBeginning(partitions);
            for (long end = System.currentTimeMillis() + 60000; count > 0; ) {
                for (ConsumerRecord<String, String> r : Version.poll(c, 1000)) {
                    print(r);
                    count--;
                }
                if (System.currentTimeMillis() > end) throw new IllegalStateException("no records");
            }
        }
    }

    static void group(String group) {
        try (KafkaConsumer<String, String> c = consumer("group.id", group, "session.timeout.ms", "10000", "heartbeat.interval.ms", "500")) {
            c.subscribe(Collections.singletonList(topic), new ConsumerRebalanceListener() {
                public void onPartitionsRevoked(Collection<TopicPartition> revoked) {}
                public void onPartitionsAssigned(Collection<TopicPartition> assigned) {
                    StringBuilder line = new StringBuilder("assigned");
                    TreeSet<Integer> all = new TreeSet<>();
                    for (TopicPartition p : c.assignment()) all.add(p.partition());
                    for (int p : all) line.append(" ").append(p);
                    say(line);
                }
            });
            while (!stopped()) {
                boolean any = false;
                for (ConsumerRecord<String, String> r : Version.poll(c, 100)) {
                    print(r);
                    any = true;
                }
                if (!any) continue;
                try {
                    c.commitSync();
                } catch (RuntimeException e) {
                    say("commit failed", e.getClass().getSimpleName());
                }
            }
        }
    }

    /** The harness writes nothing on stdin; a readable end means that the member shall leave. */
    static boolean stopped() {
        if (watcher == null) {
            watcher = new Thread(() -> {
                try {
                    while (System.in.read() >= 0) {}
                } catch (java.io.IOException e) {
                    // as good as an end
                }
                ended = true;
            });
            watcher.setDaemon(true);
            watcher.start();
        }
        return ended;
    }

    static Thread watcher;
    static volatile boolean ended;
}
