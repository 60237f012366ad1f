package handlers

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/metastore"
	"gokafka/cluster/peer"
	"gokafka/protocol"
)

// member is a broker as other brokers see it: what it is told is kept, what it answers is set.
type member struct {
	epoch   cluster.BrokerEpoch
	err     error // of whole requests
	refused map[protocol.TopicPartition]error
	heard   any
}

func (m *member) Epoch() cluster.BrokerEpoch { return m.epoch }

func (m *member) ApplyLeaderAndISR(r *cluster.LeaderAndISRRequest) *cluster.LeaderAndISRResponse {
	m.heard = r
	return &cluster.LeaderAndISRResponse{Err: m.err, Partitions: m.refused}
}

func (m *member) ApplyUpdateMetadata(r *cluster.UpdateMetadataRequest) error {
	m.heard = r
	return m.err
}

func (m *member) ApplyStopReplica(r *cluster.StopReplicaRequest) *cluster.StopReplicaResponse {
	m.heard = r
	return &cluster.StopReplicaResponse{Err: m.err, Partitions: m.refused}
}

func (m *member) ControlledShutdown(_ context.Context, id cluster.BrokerID, epoch cluster.BrokerEpoch) ([]protocol.TopicPartition, error) {
	m.heard = fmt.Sprint(id, epoch)
	return []protocol.TopicPartition{{Topic: "a", Partition: 1}}, m.err
}

func (m *member) AllocateProducerIDs(_ context.Context, id cluster.BrokerID, epoch cluster.BrokerEpoch) (metastore.ProducerIDBlock, error) {
	m.heard = fmt.Sprint(id, epoch)
	return metastore.ProducerIDBlock{First: 1000, Last: 1999}, m.err
}

func (m *member) AlterPartition(_ context.Context, r *cluster.AlterPartitionRequest) (*cluster.AlterPartitionResponse, error) {
	resp := &cluster.AlterPartitionResponse{Err: m.err, Partitions: map[protocol.TopicPartition]cluster.AlterPartitionResult{}}
	for _, a := range r.Partitions {
		resp.Partitions[a.TopicPartition] = cluster.AlterPartitionResult{Err: m.refused[protocol.TopicPartition{Partition: a.Partition}],
			State: cluster.LeaderAndISR{Leader: 1, LeaderEpoch: a.LeaderEpoch, ISR: a.NewISR, PartitionEpoch: a.PartitionEpoch + 1}}
	}
	m.heard = r
	return resp, nil
}

func (m *member) apis() []API {
	return []API{leaderAndISR(m, m), stopReplica(m, m), updateMetadata(m, m), controlledShutdown(m), alterPartition(m), allocateProducerIDs(m)}
}

// reach serves the member's APIs, up to some version of each, to a peer.
func (m *member) reach(t *testing.T, highest int16) *peer.Peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			m.serve(t, c, highest)
			c.Close()
		}
	}()
	p := peer.New(peer.Options{ClientID: "1", Timeout: 10 * time.Second, Endpoint: func(context.Context) (cluster.Endpoint, error) {
		return cluster.Endpoint{Host: "127.0.0.1", Port: int32(l.Addr().(*net.TCPAddr).Port)}, nil
	}})
	t.Cleanup(func() { p.Close(); l.Close(); <-done })
	return p
}

func (m *member) serve(t *testing.T, c net.Conn, highest int16) {
	var table []API
	for _, a := range m.apis() {
		a.Max = min(a.Max, highest)
		table = append(table, a)
	}
	advertised := &advertisement{}
	advertised.set(table)
	table = append(table, apiVersions(advertised))
	frames := protocol.NewFrameReader(c, 1<<20, nil)
	for {
		frame, err := frames.Next()
		if err != nil {
			return
		}
		h, body, err := protocol.ReadHeader(frame)
		for _, a := range table {
			if a.Key != h.Key || err != nil {
				continue
			}
			req := a.New()
			if err = protocol.DecodeRequest(req, h.Version, body); err != nil {
				break
			}
			out := protocol.AppendResponseHeader(nil, h.Key, h.Version, h.CorrelationID)
			out = answer(t, a, req).AppendTo(out)
			protocol.EndFrame(out, 0)
			_, err = c.Write(out)
			frames.Release()
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// What a peer sends is what the handlers hear, in every version that peers speak.
func TestWhatPeersSayIsHeard(t *testing.T) {
	ab, bb := protocol.TopicPartition{Topic: "a", Partition: 1}, protocol.TopicPartition{Topic: "b"}
	state := cluster.PartitionState{TopicPartition: ab, TopicID: protocol.TopicID{1}, IsNew: true,
		LeaderAndISR: cluster.LeaderAndISR{Leader: 2, LeaderEpoch: 3, ISR: []cluster.BrokerID{2, 3}, Recovering: true, ControllerEpoch: 4, PartitionEpoch: 5},
		Assignment:   cluster.Assignment{Replicas: []cluster.BrokerID{2, 3, 4}, Adding: []cluster.BrokerID{4}, Removing: []cluster.BrokerID{3}}}
	other := cluster.PartitionState{TopicPartition: bb, TopicID: protocol.TopicID{2}, LeaderAndISR: cluster.LeaderAndISR{Leader: cluster.NoLeader},
		Assignment: cluster.Assignment{Replicas: []cluster.BrokerID{2}}}
	leaders := &cluster.LeaderAndISRRequest{ControllerID: 1, ControllerEpoch: 4, BrokerEpoch: 77, States: []cluster.PartitionState{state, other},
		LiveLeaders: []cluster.Broker{{ID: 2, Endpoints: []cluster.Endpoint{{Host: "h", Port: 9}}}}}
	seen := state
	seen.IsNew, seen.Recovering, seen.Adding, seen.Removing, seen.Offline = false, false, nil, nil, []cluster.BrokerID{4}
	metadata := &cluster.UpdateMetadataRequest{ControllerID: 1, ControllerEpoch: 4, BrokerEpoch: 77, States: []cluster.PartitionState{seen, other},
		LiveBrokers: []cluster.Broker{{ID: 2, Rack: "r", Endpoints: []cluster.Endpoint{{Listener: "IN", Protocol: cluster.SSL, Host: "h", Port: 9}}}}}
	stop := &cluster.StopReplicaRequest{ControllerID: 1, ControllerEpoch: 4, BrokerEpoch: 77,
		Partitions: []cluster.StopReplica{{TopicPartition: ab, LeaderEpoch: 3, Delete: true}, {TopicPartition: bb, LeaderEpoch: -2}}}

	m := &member{epoch: 77, refused: map[protocol.TopicPartition]error{bb: kerr.KafkaStorageError}}
	p := m.reach(t, 99)
	heard := func(what string, want any) {
		t.Helper()
		if !reflect.DeepEqual(m.heard, want) {
			t.Errorf("%s:\nheard %+v\nwant  %+v", what, m.heard, want)
		}
	}
	if r, err := p.LeaderAndISR(t.Context(), leaders); err != nil || r.Err != nil || !reflect.DeepEqual(r.Partitions, m.refused) {
		t.Errorf("LeaderAndIsr: %+v %v", r, err)
	}
	heard("LeaderAndIsr", leaders)
	if err := p.UpdateMetadata(t.Context(), metadata); err != nil {
		t.Error(err)
	}
	heard("UpdateMetadata", metadata)
	if r, err := p.StopReplica(t.Context(), stop); err != nil || r.Err != nil || !reflect.DeepEqual(r.Partitions, m.refused) {
		t.Errorf("StopReplica: %+v %v", r, err)
	}
	heard("StopReplica", stop)
	if left, err := p.ControlledShutdown(t.Context(), 5, 77); err != nil || len(left) != 1 || left[0] != ab {
		t.Errorf("ControlledShutdown: %v %v", left, err)
	}
	heard("ControlledShutdown", "5 77")
	if first, n, err := p.AllocateProducerIDs(t.Context(), 5, 77); err != nil || first != 1000 || n != 1000 {
		t.Errorf("AllocateProducerIds: %d %d %v", first, n, err)
	}
}

// An earlier incarnation's requests reach nothing; a later one's do, since its registration may be on the way.
func TestStaleBrokerEpochs(t *testing.T) {
	for _, tt := range []struct {
		sent  int64
		stale bool
	}{{76, true}, {77, false}, {78, false}, {-1, false}} {
		for _, api := range (&member{}).apis()[:3] {
			m := &member{epoch: 77}
			req := api.New()
			req.SetVersion(api.Max)
			switch r := req.(type) {
			case *kmsg.LeaderAndISRRequest:
				r.BrokerEpoch = tt.sent
			case *protocol.StopReplicaRequest:
				r.BrokerEpoch = tt.sent
			case *kmsg.UpdateMetadataRequest:
				r.BrokerEpoch = tt.sent
			}
			for _, own := range m.apis()[:3] {
				if own.Key != api.Key {
					continue
				}
				resp := answer(t, own, req)
				code := reflect.ValueOf(resp).Elem().FieldByName("ErrorCode").Int()
				if (int16(code) == kerr.StaleBrokerEpoch.Code) != tt.stale || (m.heard == nil) != tt.stale {
					t.Errorf("key %d, epoch %d: code %d, heard %v", api.Key, tt.sent, code, m.heard != nil)
				}
			}
		}
	}
}

func TestAlterPartitionInAllVersions(t *testing.T) {
	for highest, want := range map[int16]error{0: kerr.OperationNotAttempted, 1: kerr.OperationNotAttempted, 2: kerr.IneligibleReplica, 3: kerr.IneligibleReplica} {
		m := &member{refused: map[protocol.TopicPartition]error{{Partition: 1}: kerr.IneligibleReplica}}
		p := m.reach(t, highest)
		good, bad := protocol.TopicPartition{Topic: "a"}, protocol.TopicPartition{Topic: "b", Partition: 1}
		r := &cluster.AlterPartitionRequest{BrokerID: 1, BrokerEpoch: 77, Partitions: []cluster.AlterPartition{
			{TopicPartition: good, TopicID: protocol.TopicID{1}, LeaderEpoch: 3, NewISR: []cluster.BrokerID{1, 2}, PartitionEpoch: 9},
			{TopicPartition: bad, TopicID: protocol.TopicID{2}, LeaderEpoch: 4, NewISR: []cluster.BrokerID{1}, PartitionEpoch: 9},
		}}
		resp, err := p.AlterPartition(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		state := cluster.LeaderAndISR{Leader: 1, LeaderEpoch: 3, ISR: []cluster.BrokerID{1, 2}, PartitionEpoch: 10}
		if got := resp.Partitions[good]; got.Err != nil || !reflect.DeepEqual(got.State, state) {
			t.Errorf("v%d: %+v", highest, got)
		}
		if got := resp.Partitions[bad].Err; got != want {
			t.Errorf("v%d: error %v, want %v", highest, got, want)
		}
	}
}

// Case 34: a state of recovery that does not exist is not taken for recovering.
func TestAlterPartitionWithAnUnknownRecoveryState(t *testing.T) {
	req := kmsg.NewPtrAlterPartitionRequest()
	req.Version = 2
	req.Topics = []kmsg.AlterPartitionRequestTopic{{Partitions: []kmsg.AlterPartitionRequestTopicPartition{{NewISR: []int32{1}, LeaderRecoveryState: 25}}}}
	resp := answer(t, alterPartition(&member{}), req).(*kmsg.AlterPartitionResponse)
	if resp.ErrorCode != kerr.UnknownServerError.Code || len(resp.Topics) != 0 {
		t.Errorf("%+v", resp)
	}
}

// Requests of old say less, and what they say is understood.
func TestRequestsOfOld(t *testing.T) {
	tp := protocol.TopicPartition{Topic: "a", Partition: 1}
	m := &member{epoch: 77}
	old := kmsg.NewPtrLeaderAndISRRequest()
	old.PartitionStates = []kmsg.LeaderAndISRRequestTopicPartition{{Topic: "a", Partition: 1, Leader: 2}}
	resp := answer(t, leaderAndISR(m, m), old).(*kmsg.LeaderAndISRResponse)
	if r := m.heard.(*cluster.LeaderAndISRRequest); len(r.States) != 1 || r.States[0].TopicPartition != tp || len(resp.Partitions) != 1 || resp.Partitions[0].Topic != "a" {
		t.Errorf("LeaderAndIsr v0: %+v %+v", r, resp)
	}
	for version, topic := range map[int16]kmsg.StopReplicaRequestTopic{0: {Topic: "a", Partition: 1}, 1: {Topic: "a", Partitions: []int32{1}}} {
		stop := &protocol.StopReplicaRequest{StopReplicaRequest: kmsg.NewStopReplicaRequest()}
		stop.Version, stop.DeletePartitions, stop.Topics = version, true, []kmsg.StopReplicaRequestTopic{topic}
		answer(t, stopReplica(m, m), stop)
		want := []cluster.StopReplica{{TopicPartition: tp, LeaderEpoch: cluster.NoEpoch, Delete: true}}
		if r := m.heard.(*cluster.StopReplicaRequest); !reflect.DeepEqual(r.Partitions, want) {
			t.Errorf("StopReplica v%d: %+v", version, r.Partitions)
		}
	}
	metadata := kmsg.NewPtrUpdateMetadataRequest()
	metadata.LiveBrokers = []kmsg.UpdateMetadataRequestLiveBroker{{ID: 2, Host: "h", Port: 9}}
	answer(t, updateMetadata(m, m), metadata)
	want := []cluster.Broker{{ID: 2, Endpoints: []cluster.Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 9}}}}
	if r := m.heard.(*cluster.UpdateMetadataRequest); !reflect.DeepEqual(r.LiveBrokers, want) {
		t.Errorf("UpdateMetadata v0: %+v", r.LiveBrokers)
	}
}
