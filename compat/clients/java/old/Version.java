import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/** What a client of 0.10 can do: it has no admin client. */
class Version {
    static ConsumerRecords<String, String> poll(KafkaConsumer<String, String> c, long millis) {
        return c.poll(millis);
    }

    static void admin(String address, String topic) {
        throw new UnsupportedOperationException();
    }
}
