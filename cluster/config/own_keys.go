package config

// ownKeys are settings that Apache Kafka 3.9 does not have. They are read from the same places as the others, and never listed, because
// tools compare what is listed with what they know. One that is set is described as Apache describes what it does not know: by its name.
var ownKeys = []Key{
	{Name: "gokafka.disk.reserve.bytes", Type: Long, Default: "-1", Internal: true, Check: atLeast(-1), Effect: true,
		Doc: "Bytes of each disk that clients' records may not fill; -1: a hundredth, 4 GiB at most."},
	{Name: "gokafka.isr.sync", Type: String, Default: "last", Internal: true, Check: oneOf("none", "last", "min"), Effect: true,
		Doc: "When committed records must be on the leader's disk: none, before it is the last in sync, or at min.insync.replicas."},
	{Name: "gokafka.jaas.file", Type: String, Default: null, Internal: true, Effect: true,
		Doc: "JAAS file with ZooKeeper's credentials; what -Djava.security.auth.login.config says in KAFKA_OPTS when unset."},
	{Name: "gokafka.zookeeper.jaas.section", Type: String, Default: "Client", Internal: true, Effect: true,
		Doc: "Section of that file; -Dzookeeper.sasl.clientconfig in KAFKA_OPTS."},
	{Name: "replica.lag.max.messages", Type: Long, Default: "0", Internal: true, Check: atLeast(0), Effect: true,
		Doc: "Kafka 0.8's: messages that a follower may be behind its leader and stay in sync; 0: any number."},
}
