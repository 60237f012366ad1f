import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

/** Does what it is told line by line, with producers that have names; the commands are described in ../doc.go. usage: Script ADDRESSES */
public class Script {
    static final Map<String, KafkaProducer<String, String>> producers = new HashMap<>();

    public static void main(String[] args) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null; ) {
            try {
                run(args[0], line.split(" "));
                System.out.println("ok");
            } catch (ExecutionException e) {
                System.out.println("failed " + e.getCause().getClass().getSimpleName());
            } catch (Exception e) {
                Throwable t = e.getCause() != null && e.getClass() == org.apache.kafka.common.KafkaException.class ? e.getCause() : e;
                System.out.println("failed " + t.getClass().getSimpleName());
            }
        }
        System.exit(0);
    }

    static void run(String address, String[] words) throws Exception {
        String name = words[1];
        KafkaProducer<String, String> p = producers.get(name);
        switch (words[0]) {
            case "init":
                p = producer(address, words[2], words[3]);
                producers.put(name, p);
                p.initTransactions();
                break;
            case "begin": p.beginTransaction(); break;
            case "send": send(p, words[2], Integer.parseInt(words[3]), words[4]); break;
            case "offsets":
                p.sendOffsetsToTransaction(Collections.singletonMap(new TopicPartition(words[3], 0), new OffsetAndMetadata(Long.parseLong(words[4]))), new ConsumerGroupMetadata(words[2]));
                break;
            case "commit": p.commitTransaction(); break;
            case "abort": p.abortTransaction(); break;
            case "close": p.close(); break;
            default: throw new IllegalArgumentException(words[0]);
        }
    }

    static KafkaProducer<String, String> producer(String address, String id, String timeout) {
        Properties p = new Properties();
        p.put("bootstrap.servers", address);
        p.put("transactional.id", id);
        p.put("transaction.timeout.ms", timeout);
        p.put("metadata.max.age.ms", "1000");
        return new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
    }

    static void send(KafkaProducer<String, String> p, String topic, int partitions, String value) throws Exception {
        List<Future<?>> sent = new ArrayList<>();
        for (int i = 0; i < partitions; i++) sent.add(p.send(new ProducerRecord<>(topic, i, null, value)));
        for (Future<?> f : sent) f.get();
    }
}
