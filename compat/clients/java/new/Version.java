import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** What clients of today can do. */
class Version {
    static ConsumerRecords<String, String> poll(KafkaConsumer<String, String> c, long millis) {
        return c.poll(Duration.ofMillis(millis));
    }

    static void show(String step, Callable<Object> f) {
        try {
            Driver.say(step, f.call());
        } catch (Exception e) {
            Throwable t = e.getCause() == null ? e : e.getCause();
            Driver.say(step, "failed:", t.getClass().getSimpleName());
        }
    }

    static String describe(TopicDescription d) {
        return d.name() + d.isInternal() + d.partitions().stream()
            .map(p -> p.partition() + ":" + p.leader().id() + ids(p.replicas()) + ids(p.isr())).collect(Collectors.toList());
    }

    static List<Integer> ids(List<org.apache.kafka.common.Node> nodes) {
        return nodes.stream().map(n -> n.id()).collect(Collectors.toList());
    }

    static String configs(Admin a, ConfigResource r) throws Exception {
        return a.describeConfigs(Collections.singleton(r)).all().get().get(r).entries().stream()
            .filter(e -> !e.name().startsWith("zookeeper")).sorted(Comparator.comparing(ConfigEntry::name))
            .map(e -> e.name() + "=" + e.value() + " " + e.source() + " " + e.type() + " " + e.isSensitive() + e.isReadOnly()).collect(Collectors.joining("; "));
    }

    static void admin(String address, String t) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", address);
        try (Admin a = Admin.create(p)) {
            topics(a, t);
            Driver.produce(50, "zstd");
            offsets(a, t);
            groups(a, t);
            show("delete", () -> a.deleteTopics(Collections.singleton(t)).all().get());
            show("delete unknown", () -> a.deleteTopics(Collections.singleton(t + "-no")).all().get());
        }
    }

    static void topics(Admin a, String t) {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, t), broker = new ConfigResource(ConfigResource.Type.BROKER, "0");
        NewTopic n = new NewTopic(t, 3, (short) 1).configs(Collections.singletonMap("retention.ms", "1000000"));
        show("create", () -> a.createTopics(Collections.singleton(n)).config(t).get().entries().size());
        show("create again", () -> a.createTopics(Collections.singleton(n)).all().get());
        show("create bad", () -> a.createTopics(Collections.singleton(new NewTopic(t + "-b", 1, (short) 7))).all().get());
        show("create badly named", () -> a.createTopics(Collections.singleton(new NewTopic("a b", 1, (short) 1))).all().get());
        show("describe", () -> describe(a.describeTopics(Collections.singleton(t)).allTopicNames().get().get(t)));
        show("describe unknown", () -> a.describeTopics(Collections.singleton(t + "-no")).allTopicNames().get());
        show("grow", () -> a.createPartitions(Collections.singletonMap(t, NewPartitions.increaseTo(5))).all().get());
        show("shrink", () -> a.createPartitions(Collections.singletonMap(t, NewPartitions.increaseTo(2))).all().get());
        show("configs", () -> configs(a, topic));
        Collection<AlterConfigOp> ops = Arrays.asList(new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact,delete"), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE));
        show("alter", () -> a.incrementalAlterConfigs(Collections.singletonMap(topic, ops)).all().get());
        show("configs", () -> configs(a, topic));
        show("broker", () -> configs(a, broker).length() > 1000);
        show("cluster", () -> a.describeCluster().nodes().get().size() + " " + a.describeCluster().controller().get().id());
        show("elect", () -> a.electLeaders(ElectionType.PREFERRED, Collections.singleton(new TopicPartition(t, 0))).partitions().get().values());
        show("reassignments", () -> a.listPartitionReassignments().reassignments().get());
        show("log dirs", () -> a.describeLogDirs(Collections.singleton(0)).allDescriptions().get().get(0).values().stream()
            .map(d -> d.replicaInfos().keySet().stream().filter(k -> k.topic().equals(t)).count()).collect(Collectors.toList()));
        show("features", () -> a.describeFeatures().featureMetadata().get());
    }

    static void offsets(Admin a, String t) {
        TopicPartition zero = new TopicPartition(t, 0);
        for (OffsetSpec spec : Arrays.asList(OffsetSpec.latest(), OffsetSpec.earliest(), OffsetSpec.forTimestamp(1)))
            show("offsets " + spec.getClass().getSimpleName(), () -> a.listOffsets(Collections.singletonMap(zero, spec)).all().get().get(zero).offset());
        // Which record has the latest time depends on when they were sent.
        show("offset of the latest time", () -> a.listOffsets(Collections.singletonMap(zero, OffsetSpec.maxTimestamp())).all().get().get(zero).offset() >= 0);
        show("delete records", () -> a.deleteRecords(Collections.singletonMap(zero, RecordsToDelete.beforeOffset(3))).lowWatermarks().get(zero).get().lowWatermark());
        show("delete too many", () -> a.deleteRecords(Collections.singletonMap(zero, RecordsToDelete.beforeOffset(3000))).all().get());
        show("producers", () -> a.describeProducers(Collections.singleton(zero)).all().get().get(zero).activeProducers().size());
    }

    static void groups(Admin a, String t) {
        String g = t + "-group";
        TopicPartition zero = new TopicPartition(t, 0);
        show("alter offsets", () -> a.alterConsumerGroupOffsets(g, Collections.singletonMap(zero, new OffsetAndMetadata(7, "note"))).all().get());
        show("list offsets", () -> new TreeMap<>(Map.of("all", a.listConsumerGroupOffsets(g).partitionsToOffsetAndMetadata().get())));
        show("describe group", () -> a.describeConsumerGroups(Collections.singleton(g)).all().get().get(g).members().size());
        show("list groups", () -> a.listConsumerGroups().all().get().stream().anyMatch(l -> l.groupId().equals(g)));
        show("delete offsets", () -> a.deleteConsumerGroupOffsets(g, Collections.singleton(zero)).all().get());
        show("delete group", () -> a.deleteConsumerGroups(Collections.singleton(g)).all().get());
        show("delete group again", () -> a.deleteConsumerGroups(Collections.singleton(g)).all().get());
    }
}
