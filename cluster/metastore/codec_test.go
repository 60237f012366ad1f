package metastore

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"gokafka/cluster"
	"gokafka/protocol"
)

// The texts are what Apache Kafka 3.9.2 brokers wrote into ZooKeeper.
const (
	controllerText = `{"version":2,"brokerid":72,"timestamp":"1795326186098","kraftControllerEpoch":-1}`
	brokerText     = `{"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://127.0.0.1:19161"],"jmx_port":-1,"port":19161,"host":"127.0.0.1","version":5,"timestamp":"1795325913093"}`
	topicText      = `{"partitions":{"0":[71,72,73],"1":[72,73,71]},"topic_id":"ox6lcCrPRzKMvT4QG2oXiw","adding_replicas":{},"removing_replicas":{},"version":3}`
	movingText     = `{"partitions":{"0":[72,73,71],"1":[72,73],"2":[73,71]},"topic_id":"ox6lcCrPRzKMvT4QG2oXiw","adding_replicas":{"0":[73]},"removing_replicas":{"0":[71]},"version":3}`
	stateText      = `{"controller_epoch":1,"leader":71,"version":1,"leader_epoch":0,"isr":[71,72,73]}`
	offlineText    = `{"controller_epoch":5,"leader":-1,"version":1,"leader_epoch":5,"isr":[71]}`
	uncleanText    = `{"controller_epoch":5,"leader":72,"version":1,"leader_recovery_state":1,"leader_epoch":6,"isr":[72]}`
	reassignText   = `{"version":1,"partitions":[{"topic":"gamma","partition":0,"replicas":[73,71]}]}`
	preferredText  = `{"version":1,"partitions":[{"topic":"alpha","partition":0},{"topic":"alpha","partition":1}]}`
	configText     = `{"version":1,"config":{"cleanup.policy":"compact","compression.type":"producer","segment.bytes":"104857600"}}`
	changeText     = `{"version":2,"entity_path":"users/alice/clients/app1"}`
	logDirText     = `{"version":1,"broker":73,"event":1}`
	blockText      = `{"version":1,"broker":73,"block_start":"0","block_end":"999"}`
	clusterIDText  = `{"version":"1","id":"vC9NYp3OTq-7BDIpUeYsNA"}`
	featureText    = `{"features":{},"version":2,"status":1}`
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestCodecForms writes what was read from Apache's form and expects the same bytes.
func TestCodecForms(t *testing.T) {
	written := time.UnixMilli(1795325913093)
	for want, got := range map[string][]byte{
		controllerText: encodeController(must(decodeController([]byte(controllerText))), time.UnixMilli(1795326186098)),
		brokerText:     encodeBroker(must(decodeBroker("/b", []byte(brokerText))), written),
		topicText:      encodeTopic(must(decodeTopic("t", []byte(topicText)))),
		movingText:     encodeTopic(must(decodeTopic("t", []byte(movingText)))),
		stateText:      encodeState(must(decodeState("/s", []byte(stateText), 0))),
		offlineText:    encodeState(must(decodeState("/s", []byte(offlineText), 0))),
		uncleanText:    encodeState(must(decodeState("/s", []byte(uncleanText), 0))),
		reassignText:   encodeReassignments(must(decodeReassignments([]byte(reassignText)))),
		preferredText:  encodePartitions(must(decodePartitions("/p", []byte(preferredText)))),
		configText:     encodeConfig(must(decodeConfig("/c", []byte(configText)))),
		changeText:     encodeConfigChange(must(decodeConfigChange("/c", []byte(changeText)))),
		logDirText:     encodeLogDirEvent(73),
		blockText:      encodeProducerIDBlock(must(decodeProducerIDBlock([]byte(blockText), 0))),
		clusterIDText:  encode(clusterIDForm{Version: "1", ID: "vC9NYp3OTq-7BDIpUeYsNA"}),
		featureText:    encode(featureForm{Features: map[string]featureLevel{}, Version: 2, Status: featuresEnabled}),
	} {
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestDecodeState(t *testing.T) {
	got := must(decodeState("/s", []byte(uncleanText), 9))
	want := cluster.LeaderAndISR{Leader: 72, LeaderEpoch: 6, ISR: []cluster.BrokerID{72}, Recovering: true, ControllerEpoch: 5, PartitionEpoch: 9}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
}

func TestDecodeBrokerVersions(t *testing.T) {
	plain := []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 9092}}
	for text, want := range map[string]cluster.Broker{
		`{"version":1,"host":"h","port":9092}`: {Endpoints: plain},
		`{"version":2,"host":"h","port":9092,"jmx_port":9999,"timestamp":"1","endpoints":["PLAINTEXT://h:9092"]}`:                                                                      {Endpoints: plain},
		`{"version":3,"host":"h","port":9092,"endpoints":["PLAINTEXT://h:9092"],"rack":"r"}`:                                                                                           {Rack: "r", Endpoints: plain},
		`{"version":4,"host":null,"port":-1,"endpoints":["IN://[::1]:9092"],"listener_security_protocol_map":{"IN":"SASL_SSL"},"jmx_port":-1,"rack":null}`:                             {Endpoints: []cluster.Endpoint{{Listener: "IN", Protocol: cluster.SASLSSL, Host: "::1", Port: 9092}}},
		`{"version":5,"features":{"x":{"min_version":1,"max_version":3}},"endpoints":["PLAINTEXT://h:9092"],"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"timestamp":1}`: {Endpoints: plain},
	} {
		got, err := decodeBroker("/brokers/ids/1", []byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

// TestDecodeBrokerWithoutEndpoints refuses what does not say where the broker is, as Apache does.
func TestDecodeBrokerWithoutEndpoints(t *testing.T) {
	for _, text := range []string{`{"version":5,"host":"h","port":9092}`, `{"endpoints":["PLAINTEXT://h:9092"]}`, `{}`, `{"version":1}`} {
		if got, err := decodeBroker("/brokers/ids/1", []byte(text)); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// TestDecodeUnreadVersions takes what Apache takes, which does not look at the version of these nodes.
func TestDecodeUnreadVersions(t *testing.T) {
	for _, version := range []string{``, `,"version":"1"`, `,"version":null`, `,"version":7`, `,"unheard":{"of":[]}`} {
		topic, err := decodeTopic("t", []byte(`{"partitions":{"0":[1,2]}`+version+`}`))
		if err != nil || !reflect.DeepEqual(topic.Partitions, map[int32]cluster.Assignment{0: {Replicas: []cluster.BrokerID{1, 2}}}) {
			t.Errorf("topic with %q: %+v, %v", version, topic, err)
		}
		tps, err := decodePartitions("/p", []byte(`{"partitions":[{"topic":"t","partition":1}]`+version+`}`))
		if err != nil || !reflect.DeepEqual(tps, []protocol.TopicPartition{{Topic: "t", Partition: 1}}) {
			t.Errorf("partitions with %q: %v, %v", version, tps, err)
		}
		var event logDirEventForm
		if err := decode("/e", []byte(`{"broker":3,"event":1`+version+`}`), &event); err != nil || event.Broker != 3 {
			t.Errorf("log directory event with %q: %+v, %v", version, event, err)
		}
	}
}

func TestDecodeConfigChangeVersions(t *testing.T) {
	for text, want := range map[string]Entity{
		changeText: "users/alice/clients/app1",
		`{"version":1,"entity_type":"topics","entity_name":"t"}`: "topics/t",
		`{"version":2,"entity_path":"brokers/<default>"}`:        DefaultBrokers,
	} {
		if got, err := decodeConfigChange("/c", []byte(text)); err != nil || got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

// TestDecodeGarbage expects an error that names the path, for what a hostile or broken writer leaves (case 39).
func TestDecodeGarbage(t *testing.T) {
	decoders := map[string]func(b []byte) error{
		"/controller":               func(b []byte) error { _, err := decodeController(b); return err },
		"/brokers/topics/t":         func(b []byte) error { _, err := decodeTopic("t", b); return err },
		"/brokers/ids/1":            func(b []byte) error { _, err := decodeBroker("/brokers/ids/1", b); return err },
		"/state":                    func(b []byte) error { _, err := decodeState("/state", b, 0); return err },
		"/c":                        func(b []byte) error { _, err := decodeConfigChange("/c", b); return err },
		"/latest_producer_id_block": func(b []byte) error { _, err := decodeProducerIDBlock(b, 0); return err },
		"/controller_epoch":         func(b []byte) error { _, err := decodeEpoch(b); return err },
	}
	garbage := []string{``, `x`, `[]`, `"s"`, `{"version":`, `{"partitions":[1]}`, `{"partitions":{"x":[1]}}`, `{"partitions":{"-1":[1]}}`,
		`{"partitions":{"99999999999":[1]}}`, `{"partitions":{},"topic_id":"short"}`, `{"leader":1}`, `{"brokerid":"x"}`, `{"version":2,"endpoints":["nonsense"]}`,
		`{"version":4,"endpoints":["A://h:99999"]}`, `{"version":4,"endpoints":["A://h:1"],"listener_security_protocol_map":{"A":"TELNET"}}`,
		`{"version":2,"entity_path":"planets/mars"}`, `{"block_start":"5","block_end":"4"}`}
	for path, decode := range decoders {
		for _, g := range garbage {
			if err := decode([]byte(g)); err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("%s, %q: %v does not name the path", path, g, err)
			}
		}
		if decode([]byte(`{"version":`)) == nil {
			t.Errorf("%s: half a JSON was accepted", path)
		}
	}
}

func TestSanitize(t *testing.T) {
	for name, want := range map[string]string{
		"alice": "alice", "CN=a b*c,O=x": "CN%3Da%20b%2Ac%2CO%3Dx", "ü~+": "%C3%BC%7E%2B", DefaultEntity: "%3Cdefault%3E", "": "",
	} {
		if got := Sanitize(name); got != want || Desanitize(got) != name {
			t.Errorf("%q: %q, want %q; back %q", name, got, want, Desanitize(got))
		}
	}
}

func TestPathsOf(t *testing.T) {
	if name, ok := TopicOf(PathTopic("a.b")); !ok || name != "a.b" {
		t.Error("topic path")
	}
	for _, p := range []string{PathTopics, PathPartition(protocol.TopicPartition{Topic: "t"}), PathTopics + "/"} {
		if name, ok := TopicOf(p); ok {
			t.Errorf("%s is topic %q", p, name)
		}
	}
	if id, ok := BrokerOf(PathBroker(7)); !ok || id != 7 {
		t.Error("broker path")
	}
	for _, p := range []string{PathBrokerIDs, PathBrokerIDs + "/x", PathBrokerIDs + "/-1", PathTopics + "/1"} {
		if id, ok := BrokerOf(p); ok {
			t.Errorf("%s is broker %d", p, id)
		}
	}
}

// FuzzDecode feeds every decoder; none may panic, and what one accepts must survive a round.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"controller_epoch":0,"leader":0,"leader_epoch":0,"isr":[]}`, controllerText, brokerText, topicText, movingText, stateText, offlineText, uncleanText, reassignText, preferredText, configText, changeText, logDirText, blockText, "7"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = decodeController(data)
		_, _ = decodeEpoch(data)
		_, _ = decodeConfigChange("/c", data)
		_, _ = decodeConfig("/c", data)
		_, _ = decodePartitions("/p", data)
		_, _ = decodeReassignments(data)
		_, _ = decodeProducerIDBlock(data, 0)
		_, _ = decodeNode(data)
		if b, err := decodeBroker("/b", data); err == nil {
			if _, err := decodeBroker("/b", encodeBroker(b, time.UnixMilli(0))); err != nil {
				t.Errorf("broker %+v does not survive: %v", b, err)
			}
		}
		if topic, err := decodeTopic("t", data); err == nil {
			if again, err := decodeTopic("t", encodeTopic(topic)); err != nil || len(again.Partitions) != len(topic.Partitions) {
				t.Errorf("topic %+v does not survive: %v", topic, err)
			}
		}
		if s, err := decodeState("/s", data, 0); err == nil {
			if _, err := decodeState("/s", encodeState(s), 0); err != nil {
				t.Errorf("state %+v does not survive: %v", s, err)
			}
		}
	})
}
