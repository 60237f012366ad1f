package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type franz struct {
	target
	balancers []kgo.GroupBalancer
}

func (f franz) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(opts, kgo.SeedBrokers(f.address), kgo.MetadataMaxAge(time.Second), kgo.MetadataMinAge(100*time.Millisecond))...)
}

func (f franz) produce(count int, codec string) error {
	codecs := map[string]kgo.CompressionCodec{"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(), "none": kgo.NoCompression()}
	c, err := f.client(kgo.ProducerBatchCompression(codecs[codec]), kgo.DefaultProduceTopic(f.topic))
	if err != nil {
		return err
	}
	defer c.Close()
	var records []*kgo.Record
	for i := range count {
		key, value := message(i)
		records = append(records, &kgo.Record{Key: key, Value: value})
	}
	return c.ProduceSync(context.Background(), records...).FirstErr()
}

func (f franz) consume(count int) error {
	c, err := f.client(kgo.ConsumeTopics(f.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for count > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) { record(r.Partition, r.Offset, r.Value); count-- })
	}
	return nil
}

func (f franz) group(name string, stopped <-chan struct{}) error {
	h := &holding{topic: f.topic}
	c, err := f.client(kgo.ConsumerGroup(name), kgo.ConsumeTopics(f.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(500*time.Millisecond), kgo.BlockRebalanceOnPoll(), kgo.Balancers(f.balancers...),
		kgo.OnPartitionsAssigned(h.gain), kgo.OnPartitionsRevoked(h.lose), kgo.OnPartitionsLost(h.lose))
	if err != nil {
		return err
	}
	defer c.CloseAllowingRebalance()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends when stdin does, as the whole process
		<-stopped
		cancel()
	}()
	for ctx.Err() == nil {
		fetches := c.PollFetches(ctx)
		fetches.EachRecord(func(r *kgo.Record) { record(r.Partition, r.Offset, r.Value) })
		if !fetches.Empty() {
			if err := c.CommitUncommittedOffsets(context.Background()); err != nil {
				say("commit failed", err)
			}
		}
		c.AllowRebalance()
	}
	return nil
}

// holding is what a cooperative member has: assignments add to it, revocations take from it.
type holding struct {
	mu    sync.Mutex
	topic string
	held  []int32
}

func (h *holding) gain(_ context.Context, _ *kgo.Client, more map[string][]int32) {
	h.change(func() { h.held = append(h.held, more[h.topic]...) })
}

func (h *holding) lose(_ context.Context, _ *kgo.Client, less map[string][]int32) {
	h.change(func() {
		h.held = slices.DeleteFunc(h.held, func(p int32) bool { return slices.Contains(less[h.topic], p) })
	})
}

func (h *holding) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	slices.Sort(h.held)
	assigned(h.held)
}

func (f franz) admin() error {
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	a, ctx := kadm.NewClient(c), context.Background()
	t := f.topic
	value := "1000000"
	created, err := a.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": &value}, t)
	show("create", []any{created.Topic, created.NumPartitions, created.ReplicationFactor, len(created.Configs)}, err)
	_, err = a.CreateTopic(ctx, 3, 1, nil, t)
	show("create again", "", err)
	_, err = a.CreateTopic(ctx, 3, 9, nil, t+"-b")
	show("create bad", "", err)
	f.adminTopic(ctx, a, t)
	f.adminOffsets(ctx, a, t)
	deleted, err := a.DeleteTopics(ctx, t, t+"-no")
	for _, d := range deleted.Sorted() {
		show("delete "+d.Topic, "", d.Err)
	}
	return err
}

func (f franz) adminTopic(ctx context.Context, a *kadm.Client, t string) {
	topics, err := a.ListTopics(ctx, t)
	show("describe", topics[t].Partitions.Sorted(), err)
	grown, err := a.UpdatePartitions(ctx, 5, t)
	show("grow", grown[t].Err, err)
	grown, err = a.UpdatePartitions(ctx, 2, t)
	show("shrink", grown[t].Err, err)
	show("alter", f.alter(ctx, a, t), nil)
	configs, err := a.DescribeTopicConfigs(ctx, t)
	for _, r := range configs {
		slices.SortFunc(r.Configs, func(x, y kadm.Config) int { return strings.Compare(x.Key, y.Key) })
		for _, c := range r.Configs {
			show("config "+c.Key, []any{c.MaybeValue(), c.Sensitive, c.Source}, err)
		}
	}
	meta, err := a.BrokerMetadata(ctx)
	show("cluster", []any{len(meta.Brokers), meta.Controller}, err)
	dirs, err := a.DescribeAllLogDirs(ctx, kadm.TopicsSet{t: {0: {}, 1: {}}})
	show("log dirs", len(dirs), err)
}

func (f franz) alter(ctx context.Context, a *kadm.Client, t string) string {
	value := "compact,delete"
	r, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &value}, {Op: kadm.DeleteConfig, Name: "retention.ms"}}, t)
	return fmt.Sprint(len(r), err)
}

func (f franz) adminOffsets(ctx context.Context, a *kadm.Client, t string) {
	show("produce", "", f.produce(50, "zstd"))
	ends, err := a.ListEndOffsets(ctx, t)
	show("end offsets", ends.Offsets().Sorted(), err)
	starts, err := a.ListStartOffsets(ctx, t)
	show("start offsets", starts.Offsets().Sorted(), err)
	after, err := a.ListOffsetsAfterMilli(ctx, 1, t)
	show("offsets by time", after.Offsets().Sorted(), err)
	cut, err := a.DeleteRecords(ctx, kadm.Offsets{t: {0: {Topic: t, Partition: 0, At: 2}}})
	show("delete records", cut[t][0].LowWatermark, err)
	g := t + "-group"
	committed, err := a.CommitOffsets(ctx, g, kadm.Offsets{t: {0: {Topic: t, Partition: 0, At: 7, LeaderEpoch: -1, Metadata: "note"}}})
	show("commit", committed.Error(), err)
	fetched, err := a.FetchOffsets(ctx, g)
	show("committed", fetched.Offsets().Sorted(), err)
	groups, err := a.DescribeGroups(ctx, g)
	show("describe group", []any{groups[g].State, groups[g].ProtocolType, len(groups[g].Members), groups.Error()}, err)
	lag, err := a.Lag(ctx, g)
	show("lag", lag[g].Lag.Total(), err)
	gone, err := a.DeleteOffsets(ctx, g, kadm.TopicsSet{t: {0: {}}})
	show("delete offsets", gone.Error(), err)
	deleted, err := a.DeleteGroups(ctx, g)
	show("delete group", deleted[g].Err, err)
}
