package metastore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"gokafka/cluster"
	"gokafka/protocol"
)

// The JSON forms are those of ZkData in Apache Kafka 3.9 with inter.broker.protocol.version 3.x: compact, UTF-8, no HTML escapes.
// Apache's own key order follows its hash maps, so readers parse and never compare bytes; unknown keys are skipped.
// A version of type any is one that Apache does not read, whatever it is.

// encode never fails: every form below is made of strings, numbers, lists and maps.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func decode(path string, data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// number is an integer that readers accept as a JSON number or as a string of digits, since writers of different ages differ.
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	*n = number(v)
	return err
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

type clusterIDForm struct {
	Version string `json:"version"`
	ID      string `json:"id"`
}

type controllerForm struct {
	Version    int              `json:"version"`
	BrokerID   cluster.BrokerID `json:"brokerid"`
	Timestamp  string           `json:"timestamp"`
	KRaftEpoch int              `json:"kraftControllerEpoch"`
}

func encodeController(id cluster.BrokerID, now time.Time) []byte {
	return encode(controllerForm{Version: 2, BrokerID: id, Timestamp: millis(now), KRaftEpoch: -1})
}

func decodeController(data []byte) (cluster.BrokerID, error) {
	var f struct {
		BrokerID *cluster.BrokerID `json:"brokerid"`
	}
	if err := decode(PathController, data, &f); err != nil {
		return 0, err
	}
	if f.BrokerID == nil {
		return 0, fmt.Errorf("decode %s: no brokerid", PathController)
	}
	return *f.BrokerID, nil
}

func decodeEpoch(data []byte) (cluster.ControllerEpoch, error) {
	n, err := strconv.ParseInt(string(data), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("decode %s: %w", PathControllerEpoch, err)
	}
	return cluster.ControllerEpoch(n), nil
}

type brokerForm struct {
	Features  map[string]featureRange `json:"features"`
	Protocols map[string]string       `json:"listener_security_protocol_map"`
	Endpoints []string                `json:"endpoints"`
	JMXPort   int                     `json:"jmx_port"`
	Port      int32                   `json:"port"`
	Host      *string                 `json:"host"`
	Version   int                     `json:"version"`
	Timestamp string                  `json:"timestamp"`
	Rack      string                  `json:"rack,omitempty"`
}

type featureRange struct {
	Min int16 `json:"min_version"`
	Max int16 `json:"max_version"`
}

// encodeBroker writes version 5 (inter.broker.protocol.version 2.7 and later). host and port are those of the first listener that
// speaks PLAINTEXT, for clients older than endpoints.
func encodeBroker(b cluster.Broker, now time.Time) []byte {
	f := brokerForm{Features: map[string]featureRange{}, Protocols: map[string]string{}, Endpoints: []string{}, JMXPort: -1, Port: -1, Version: 5, Timestamp: millis(now), Rack: b.Rack}
	for _, e := range b.Endpoints {
		f.Protocols[e.Listener] = e.Protocol.String()
		f.Endpoints = append(f.Endpoints, e.Listener+"://"+net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
		if f.Host == nil && e.Protocol == cluster.Plaintext {
			f.Host, f.Port = &e.Host, e.Port
		}
	}
	return encode(f)
}

// decodeBroker reads versions 1 to 5. The caller sets ID and Epoch, which are not in the JSON.
func decodeBroker(path string, data []byte) (cluster.Broker, error) {
	var f brokerForm
	var tolerant = struct {
		*brokerForm
		Features  json.RawMessage `json:"features"`
		JMXPort   json.RawMessage `json:"jmx_port"`
		Timestamp json.RawMessage `json:"timestamp"`
	}{brokerForm: &f}
	if err := decode(path, data, &tolerant); err != nil {
		return cluster.Broker{}, err
	}
	if f.Version == 1 {
		if f.Host == nil {
			return cluster.Broker{}, fmt.Errorf("decode %s: no host", path)
		}
		return cluster.Broker{Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: *f.Host, Port: f.Port}}}, nil
	}
	if f.Version < 1 || f.Endpoints == nil {
		return cluster.Broker{}, fmt.Errorf("decode %s: no version or no endpoints", path)
	}
	b := cluster.Broker{Rack: f.Rack}
	for _, s := range f.Endpoints {
		e, err := decodeEndpoint(s, f.Protocols)
		if err != nil {
			return cluster.Broker{}, fmt.Errorf("decode %s: %w", path, err)
		}
		b.Endpoints = append(b.Endpoints, e)
	}
	return b, nil
}

func decodeEndpoint(s string, protocols map[string]string) (cluster.Endpoint, error) {
	listener, address, ok := strings.Cut(s, "://")
	if !ok {
		return cluster.Endpoint{}, fmt.Errorf("endpoint %q has no listener", s)
	}
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return cluster.Endpoint{}, fmt.Errorf("endpoint %q: %w", s, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return cluster.Endpoint{}, fmt.Errorf("endpoint %q: %w", s, err)
	}
	name := protocols[listener]
	if len(protocols) == 0 { // before version 4 a listener is named like its protocol
		name = listener
	}
	for _, p := range []cluster.SecurityProtocol{cluster.Plaintext, cluster.SSL, cluster.SASLPlaintext, cluster.SASLSSL} {
		if p.String() == name {
			return cluster.Endpoint{Listener: listener, Protocol: p, Host: host, Port: int32(port)}, nil
		}
	}
	return cluster.Endpoint{}, fmt.Errorf("endpoint %q: unknown security protocol %q", s, name)
}

type topicForm struct {
	Partitions map[string][]cluster.BrokerID `json:"partitions"`
	TopicID    string                        `json:"topic_id,omitempty"`
	Adding     map[string][]cluster.BrokerID `json:"adding_replicas"`
	Removing   map[string][]cluster.BrokerID `json:"removing_replicas"`
	Version    any                           `json:"version"`
}

// Topic is a topic's assignment: what /brokers/topics/T holds.
type Topic struct {
	Name       string
	ID         protocol.TopicID // zero for a topic made before KIP-516
	Partitions map[int32]cluster.Assignment
	Version    int32 // of the node; not part of the JSON
}

func encodeTopic(t Topic) []byte {
	f := topicForm{Partitions: make(map[string][]cluster.BrokerID, len(t.Partitions)), Adding: map[string][]cluster.BrokerID{}, Removing: map[string][]cluster.BrokerID{}, Version: 3}
	if !t.ID.IsZero() {
		f.TopicID = t.ID.String()
	}
	for p, a := range t.Partitions {
		key := strconv.Itoa(int(p))
		f.Partitions[key] = append([]cluster.BrokerID{}, a.Replicas...)
		if len(a.Adding) > 0 {
			f.Adding[key] = a.Adding
		}
		if len(a.Removing) > 0 {
			f.Removing[key] = a.Removing
		}
	}
	return encode(f)
}

func decodeTopic(name string, data []byte) (Topic, error) {
	path := PathTopic(name)
	var f topicForm
	if err := decode(path, data, &f); err != nil {
		return Topic{}, err
	}
	t := Topic{Name: name, Partitions: make(map[int32]cluster.Assignment, len(f.Partitions))}
	if f.TopicID != "" {
		id, err := protocol.ParseTopicID(f.TopicID)
		if err != nil {
			return Topic{}, fmt.Errorf("decode %s: %w", path, err)
		}
		t.ID = id
	}
	for key, replicas := range f.Partitions {
		p, err := strconv.ParseInt(key, 10, 32)
		if err != nil || p < 0 {
			return Topic{}, fmt.Errorf("decode %s: partition %q is not a number", path, key)
		}
		t.Partitions[int32(p)] = cluster.Assignment{Replicas: replicas, Adding: f.Adding[key], Removing: f.Removing[key]}
	}
	return t, nil
}

type stateForm struct {
	ControllerEpoch cluster.ControllerEpoch `json:"controller_epoch"`
	Leader          cluster.BrokerID        `json:"leader"`
	Version         int                     `json:"version"`
	Recovery        int                     `json:"leader_recovery_state,omitempty"`
	LeaderEpoch     cluster.LeaderEpoch     `json:"leader_epoch"`
	ISR             []cluster.BrokerID      `json:"isr"`
}

func encodeState(s cluster.LeaderAndISR) []byte {
	f := stateForm{ControllerEpoch: s.ControllerEpoch, Leader: s.Leader, Version: 1, LeaderEpoch: s.LeaderEpoch, ISR: append([]cluster.BrokerID{}, s.ISR...)}
	if s.Recovering {
		f.Recovery = 1
	}
	return encode(f)
}

func decodeState(path string, data []byte, version int32) (cluster.LeaderAndISR, error) {
	f := struct {
		ControllerEpoch *cluster.ControllerEpoch `json:"controller_epoch"`
		Leader          *cluster.BrokerID        `json:"leader"`
		LeaderEpoch     *cluster.LeaderEpoch     `json:"leader_epoch"`
		Recovery        int                      `json:"leader_recovery_state"`
		ISR             []cluster.BrokerID       `json:"isr"`
	}{}
	if err := decode(path, data, &f); err != nil {
		return cluster.LeaderAndISR{}, err
	}
	if f.ControllerEpoch == nil || f.Leader == nil || f.LeaderEpoch == nil || f.ISR == nil {
		return cluster.LeaderAndISR{}, fmt.Errorf("decode %s: controller_epoch, leader, leader_epoch or isr is missing", path)
	}
	return cluster.LeaderAndISR{Leader: *f.Leader, LeaderEpoch: *f.LeaderEpoch, ISR: f.ISR, Recovering: f.Recovery == 1,
		ControllerEpoch: *f.ControllerEpoch, PartitionEpoch: cluster.PartitionEpoch(version)}, nil
}

type partitionForm struct {
	Topic     string             `json:"topic"`
	Partition int32              `json:"partition"`
	Replicas  []cluster.BrokerID `json:"replicas,omitempty"`
}

type partitionsForm struct {
	Version    any             `json:"version"`
	Partitions []partitionForm `json:"partitions"`
}

func encodePartitions(tps []protocol.TopicPartition) []byte {
	f := partitionsForm{Version: 1, Partitions: []partitionForm{}}
	for _, tp := range tps {
		f.Partitions = append(f.Partitions, partitionForm{Topic: tp.Topic, Partition: tp.Partition})
	}
	return encode(f)
}

func decodePartitions(path string, data []byte) ([]protocol.TopicPartition, error) {
	var f partitionsForm
	if err := decode(path, data, &f); err != nil {
		return nil, err
	}
	var tps []protocol.TopicPartition
	for _, p := range f.Partitions {
		tps = append(tps, protocol.TopicPartition{Topic: p.Topic, Partition: p.Partition})
	}
	return tps, nil
}

func encodeReassignments(m map[protocol.TopicPartition][]cluster.BrokerID) []byte {
	f := partitionsForm{Version: 1, Partitions: []partitionForm{}}
	for tp, replicas := range m {
		f.Partitions = append(f.Partitions, partitionForm{Topic: tp.Topic, Partition: tp.Partition, Replicas: replicas})
	}
	slices.SortFunc(f.Partitions, func(a, b partitionForm) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition - b.Partition)
	})
	return encode(f)
}

func decodeReassignments(data []byte) (map[protocol.TopicPartition][]cluster.BrokerID, error) {
	var f partitionsForm
	if err := decode(PathReassignPartitions, data, &f); err != nil {
		return nil, err
	}
	m := make(map[protocol.TopicPartition][]cluster.BrokerID, len(f.Partitions))
	for _, p := range f.Partitions {
		m[protocol.TopicPartition{Topic: p.Topic, Partition: p.Partition}] = p.Replicas
	}
	return m, nil
}

type configForm struct {
	Version int               `json:"version"`
	Config  map[string]string `json:"config"`
}

func encodeConfig(config map[string]string) []byte {
	if config == nil {
		config = map[string]string{}
	}
	return encode(configForm{Version: 1, Config: config})
}

// decodeConfig treats a node without data as no settings: intermediate nodes of users have none.
func decodeConfig(path string, data []byte) (map[string]string, error) {
	if len(data) == 0 {
		return map[string]string{}, nil
	}
	f := configForm{Config: map[string]string{}}
	if err := decode(path, data, &f); err != nil {
		return nil, err
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("decode %s: unknown version %d", path, f.Version)
	}
	return f.Config, nil
}

type configChangeForm struct {
	Version    int    `json:"version"`
	EntityPath string `json:"entity_path,omitempty"`
	EntityType string `json:"entity_type,omitempty"` // these two: version 1
	EntityName string `json:"entity_name,omitempty"`
}

func encodeConfigChange(e Entity) []byte {
	return encode(configChangeForm{Version: 2, EntityPath: string(e)})
}

func decodeConfigChange(path string, data []byte) (Entity, error) {
	var f configChangeForm
	if err := decode(path, data, &f); err != nil {
		return "", err
	}
	e := Entity(f.EntityPath)
	if f.Version == 1 {
		e = Entity(f.EntityType + "/" + f.EntityName)
	}
	if !slices.Contains([]string{"topics", "brokers", "users", "clients", "ips"}, e.Type()) || e.Name() == "" {
		return "", fmt.Errorf("decode %s: no known entity in %q", path, data)
	}
	return e, nil
}

type logDirEventForm struct {
	Version any              `json:"version"`
	Broker  cluster.BrokerID `json:"broker"`
	Event   int              `json:"event"`
}

const logDirFailure = 1

func encodeLogDirEvent(id cluster.BrokerID) []byte {
	return encode(logDirEventForm{Version: 1, Broker: id, Event: logDirFailure})
}

type producerIDBlockForm struct {
	Version int              `json:"version"`
	Broker  cluster.BrokerID `json:"broker"`
	Start   string           `json:"block_start"`
	End     string           `json:"block_end"`
}

// ProducerIDBlock is a range of producer ids that one broker may hand out.
type ProducerIDBlock struct {
	Broker  cluster.BrokerID
	First   int64
	Last    int64 // inclusive
	Version int32 // of the node; not part of the JSON
}

func encodeProducerIDBlock(b ProducerIDBlock) []byte {
	return encode(producerIDBlockForm{Version: 1, Broker: b.Broker, Start: strconv.FormatInt(b.First, 10), End: strconv.FormatInt(b.Last, 10)})
}

func decodeProducerIDBlock(data []byte, version int32) (ProducerIDBlock, error) {
	var f struct {
		Broker cluster.BrokerID `json:"broker"`
		Start  number           `json:"block_start"`
		End    *number          `json:"block_end"`
	}
	if err := decode(PathProducerIDBlock, data, &f); err != nil {
		return ProducerIDBlock{}, err
	}
	if f.End == nil || *f.End < f.Start {
		return ProducerIDBlock{}, fmt.Errorf("decode %s: block_end missing or below block_start", PathProducerIDBlock)
	}
	return ProducerIDBlock{Broker: f.Broker, First: int64(f.Start), Last: int64(*f.End), Version: version}, nil
}

type featureForm struct {
	Features map[string]featureLevel `json:"features"`
	Version  int                     `json:"version"`
	Status   int                     `json:"status"`
}

type featureLevel struct {
	Max int16 `json:"max_version_level"`
}

const featuresEnabled = 1
