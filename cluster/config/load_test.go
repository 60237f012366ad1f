package config

import (
	"slices"
	"strings"
	"testing"
)

func TestPrecedence(t *testing.T) {
	s := Sources{
		File:        map[string]string{"num.partitions": "2", "log.retention.ms": "5", "fetch.max.bytes": "2000"},
		Environment: []string{"KAFKA_NUM_PARTITIONS=3", "KAFKA_LOG_RETENTION_HOURS=7", "PATH=/bin"},
		Overrides:   []string{"num.partitions=4", "broker.rack= r = 1"},
	}
	b, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	v := b.Current()
	if v.Int("num.partitions") != 4 || v.Int("fetch.max.bytes") != 2000 || v.String("broker.rack") != "r = 1" || v.Int("num.network.threads") != 3 {
		t.Errorf("num.partitions %d, fetch.max.bytes %d, broker.rack %q", v.Int("num.partitions"), v.Int("fetch.max.bytes"), v.String("broker.rack"))
	}
	if got := v.logRetentionMillis(); got != 7*3600_000 {
		t.Errorf("retention is %d: hours in the environment must drive out the file's milliseconds", got)
	}
}

// Within a layer milliseconds stand before minutes, and these before hours, in whatever order they come.
func TestUnitsOfOneLayer(t *testing.T) {
	for _, s := range []Sources{
		{File: map[string]string{"log.retention.ms": "-1", "log.retention.hours": "24"}},
		{Environment: []string{"KAFKA_LOG_RETENTION_MS=-1", "KAFKA_LOG_RETENTION_HOURS=24"}},
		{Environment: []string{"KAFKA_LOG_RETENTION_HOURS=24"}, Overrides: []string{"log.retention.ms=-1", "log.retention.minutes=5"}},
		{Overrides: []string{"log.retention.ms=7", "log.retention.ms=-1", "log.retention.hours=24"}},
	} {
		for range 20 { // maps have no order
			b, err := Load(s)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.Current().logRetentionMillis(); got != -1 {
				t.Fatalf("retention is %d of %+v", got, s)
			}
		}
	}
}

// The interval of a topic's flushes is not that of the flusher, though it is its default.
func TestTheSchedulerOfFlushesIsASettingOfItsOwn(t *testing.T) {
	b, err := Load(Sources{File: map[string]string{"log.flush.scheduler.interval.ms": "9"}, Overrides: []string{"log.flush.interval.ms=5"}})
	if err != nil {
		t.Fatal(err)
	}
	if v := b.Current(); v.Int64("log.flush.scheduler.interval.ms") != 9 || v.Int64("log.flush.interval.ms") != 5 {
		t.Errorf("scheduler %d, interval %d", v.Int64("log.flush.scheduler.interval.ms"), v.Int64("log.flush.interval.ms"))
	}
}

func TestLogDirs(t *testing.T) {
	for dirs, want := range map[string][]string{"/a,/b,": {"/a", "/b"}, ", /a,,/b ,": {"/a", "/b"}, "/a": {"/a"}} {
		b, err := Load(Sources{File: map[string]string{"log.dirs": dirs}})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.LogDirs(); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", dirs, got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	for variable, want := range map[string]string{
		"KAFKA_LOG_DIRS": "log.dirs", "KAFKA_ZOOKEEPER_CLIENTCNXNSOCKET": "zookeeper.clientCnxnSocket",
		"KAFKA_LISTENER_NAME_SASL__SSL_PLAIN_SASL_JAAS_CONFIG": "listener.name.sasl_ssl.plain.sasl.jaas.config",
		"KAFKA_LISTENER_NAME_MY___LISTENER_SSL_KEY_PASSWORD":   "listener.name.my-listener.ssl.key.password",
	} {
		if props, warnings := environment([]string{variable + "=a=b"}); props[want] != "a=b" || len(warnings) > 0 {
			t.Errorf("%s: %q %q", variable, props, warnings)
		}
	}
	for _, quiet := range []string{"KAFKA_HEAP_OPTS=x", "KAFKA_OPTS=x", "KAFKA_JMX_PORT=1", "KAFKA_LOG4J_ROOT_LOGLEVEL=x", "KAFKA_VERSION=1", "NOTKAFKA_X=1"} {
		if props, warnings := environment([]string{quiet}); len(props) > 0 || len(warnings) > 0 {
			t.Errorf("%s: %q %q", quiet, props, warnings)
		}
	}
	if props, warnings := environment([]string{"KAFKA_NO_SUCH=1"}); len(props) > 0 || len(warnings) != 1 || !strings.Contains(warnings[0], "KAFKA_NO_SUCH") {
		t.Errorf("%q %q", props, warnings)
	}
}

func TestWarnings(t *testing.T) {
	b, err := Load(Sources{File: map[string]string{"no.such": "1", "num.io.threads": "16", "num.network.threads": "3", "num.partitions": "2"}, Overrides: []string{"other=2"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"setting no.such is unknown", "setting other is unknown", "these settings have no effect in this broker: num.io.threads"}
	if got := b.Warnings(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestErrorsNameTheSetting(t *testing.T) {
	for _, c := range []struct {
		settings string
		want     string
	}{
		{"num.partitions=x;broker.id=y", "broker.id"},
		{"num.partitions=x;broker.id=y", "num.partitions"},
		{"broker.id=2000", "broker.id must be greater than or equal to -1 and not greater than reserved.broker.max.id"},
		{"broker.id=1;node.id=2", "You must set `node.id` to the same value as `broker.id`."},
		{"broker.id.generation.enable=false;broker.id=-1", "broker.id must be greater than or equal to 0"},
		{"log.roll.ms=0", "log.roll.ms must be greater than or equal to 1"},
		{"log.retention.ms=0", "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"},
		{"log.cleaner.dedupe.buffer.size=1000", "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."},
		{"replica.fetch.wait.max.ms=40000", "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms"},
		{"replica.lag.time.max.ms=100", "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms"},
		{"replica.lag.max.messages=-1", "Invalid value -1 for configuration replica.lag.max.messages: Value must be at least 0"},
		{"replica.lag.max.messages=many", "Invalid value many for configuration replica.lag.max.messages: Not a number of type LONG"},
		{"replica.lag.max.messages=", "Invalid value  for configuration replica.lag.max.messages: Not a number of type LONG"},
		{"queued.max.request.bytes=10", "queued.max.request.bytes must be larger or equal to socket.request.max.bytes"},
		{"max.connections.per.ip=0", "max.connections.per.ip can be set to zero only if"},
		{"max.connections.per.ip.overrides=a b:1", "max.connections.per.ip.overrides contains invalid addresses : a b"},
		{"max.connections.per.ip.overrides=x", "Error parsing configuration property 'max.connections.per.ip.overrides'"},
		{"connections.max.idle.ms=100", "connection.failed.authentication.delay.ms=100 should always be less than connections.max.idle.ms=100"},
		{"process.roles=broker", "process.roles=broker is not supported"},
		{"process.roles=broker,controller;zookeeper.connect=x", "process.roles and zookeeper.connect must not both be set"},
		{"controller.listener.names=C", "controller.listener.names must be empty when not running in KRaft mode: [C]"},
		{"listeners=SSL://:1;security.inter.broker.protocol=SSL", "listener SSL asks for SSL"},
		{"listeners=PLAINTEXT://:1,C://:2;listener.security.protocol.map=PLAINTEXT:PLAINTEXT,C:SASL_SSL", "listener C asks for SASL_SSL"},
		{"authorizer.class.name=kafka.security.authorizer.AclAuthorizer", "authorizer.class.name is set"},
		{"log.dirs=,", "At least one log directory must be defined via log.dirs or log.dir."},
		{"log.dirs=", "At least one log directory must be defined via log.dirs or log.dir."},
		{"log.dir=", "At least one log directory must be defined via log.dirs or log.dir."},
		{"listeners=SASL_PLAINTEXT://:1;security.inter.broker.protocol=SASL_PLAINTEXT;sasl.enabled.mechanisms=PLAIN", "sasl.mechanism.inter.broker.protocol must be included"},
	} {
		file := map[string]string{}
		for _, kv := range strings.Split(c.settings, ";") {
			k, v, _ := strings.Cut(kv, "=")
			file[k] = v
		}
		if _, err := Load(Sources{File: file}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.settings, err, c.want)
		}
	}
	if _, err := Load(Sources{Overrides: []string{"nonsense"}}); err == nil {
		t.Error("an override without a value was accepted")
	}
}

func TestStandaloneDefaults(t *testing.T) {
	alone, err := Load(Sources{DataDir: "/data"})
	if err != nil {
		t.Fatal(err)
	}
	if !alone.Standalone() || alone.ID() != 1 || alone.Current().Int("transaction.state.log.min.isr") != 1 || alone.LogDirs()[0] != "/data" {
		t.Errorf("standalone %v, id %d, dirs %v", alone.Standalone(), alone.ID(), alone.LogDirs())
	}
	clustered, err := Load(Sources{File: map[string]string{"zookeeper.connect": "z:1", "node.id": "7", "log.dirs": "/a, /b"}})
	if err != nil {
		t.Fatal(err)
	}
	if clustered.Standalone() || clustered.ID() != 7 || clustered.Current().Int("offsets.topic.replication.factor") != 3 || !slices.Equal(clustered.LogDirs(), []string{"/a", "/b"}) {
		t.Errorf("id %d, dirs %v", clustered.ID(), clustered.LogDirs())
	}
	if clustered.SetID(9); clustered.ID() != 9 {
		t.Error("the assigned id is not the broker's")
	}
}

func TestProtocolVersion(t *testing.T) {
	for text, want := range map[string]string{"3.9-IV0": "3.9-IV0", "3.9": "3.9-IV0", "3.5.1": "3.5-IV2", "3.0": "3.0-IV1", "3.0-IV0": "3.0-IV0", "2.8": "2.8-IV1"} {
		b, err := Load(Sources{File: map[string]string{"inter.broker.protocol.version": text, "log.message.format.version": "2.8"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Current().ProtocolVersion().String(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}
