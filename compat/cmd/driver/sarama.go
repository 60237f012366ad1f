package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

type saramaClient struct{ target }

func (s saramaClient) config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.ClientID = "compat"
	c.Metadata.RefreshFrequency = time.Second
	return c
}

func (s saramaClient) produce(count int, codec string) error {
	codecs := map[string]sarama.CompressionCodec{"gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD, "none": sarama.CompressionNone}
	c := s.config()
	c.Producer.RequiredAcks, c.Producer.Idempotent, c.Net.MaxOpenRequests = sarama.WaitForAll, true, 1
	c.Producer.Return.Successes, c.Producer.Compression = true, codecs[codec]
	p, err := sarama.NewSyncProducer([]string{s.address}, c)
	if err != nil {
		return err
	}
	defer p.Close()
	var all []*sarama.ProducerMessage
	for i := range count {
		key, value := message(i)
		all = append(all, &sarama.ProducerMessage{Topic: s.topic, Key: sarama.ByteEncoder(key), Value: sarama.ByteEncoder(value)})
	}
	return p.SendMessages(all)
}

func (s saramaClient) consume(count int) error {
	c, err := sarama.NewConsumer([]string{s.address}, s.config())
	if err != nil {
		return err
	}
	defer c.Close()
	partitions, err := c.Partitions(s.topic)
	if err != nil {
		return err
	}
	messages := make(chan *sarama.ConsumerMessage, 100)
	for _, p := range partitions {
		pc, err := c.ConsumePartition(s.topic, p, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		go func() { // ends when its consumer closes, with the process
			for m := range pc.Messages() {
				messages <- m
			}
		}()
	}
	for ; count > 0; count-- {
		select {
		case m := <-messages:
			record(m.Partition, m.Offset, m.Value)
		case <-time.After(time.Minute):
			return errors.New("no records")
		}
	}
	return nil
}

func (s saramaClient) group(name string, stopped <-chan struct{}) error {
	c := s.config()
	c.Consumer.Offsets.Initial, c.Consumer.Offsets.AutoCommit.Interval = sarama.OffsetOldest, 100*time.Millisecond
	c.Consumer.Group.Session.Timeout, c.Consumer.Group.Heartbeat.Interval = 10*time.Second, 500*time.Millisecond
	g, err := sarama.NewConsumerGroup([]string{s.address}, name, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends when stdin does, as the whole process
		<-stopped
		cancel()
	}()
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{s.topic}, saramaHandler{s.topic}); err != nil && ctx.Err() == nil {
			say("consume failed", err)
			time.Sleep(100 * time.Millisecond)
		}
	}
	return g.Close()
}

type saramaHandler struct{ topic string }

func (h saramaHandler) Setup(s sarama.ConsumerGroupSession) error {
	held := s.Claims()[h.topic]
	slices.Sort(held)
	assigned(held)
	return nil
}

func (saramaHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (saramaHandler) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			record(m.Partition, m.Offset, m.Value)
			s.MarkMessage(m, "")
		case <-s.Context().Done():
			return nil
		}
	}
}

func (s saramaClient) admin() error {
	a, err := sarama.NewClusterAdmin([]string{s.address}, s.config())
	if err != nil {
		return err
	}
	defer a.Close()
	t, value := s.topic, "1000000"
	detail := &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &value}}
	show("create", "", a.CreateTopic(t, detail, false))
	show("create again", "", s.code(a.CreateTopic(t, detail, false)))
	show("create bad", "", s.code(a.CreateTopic(t+"-b", &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 9}, false)))
	topics, err := a.DescribeTopics([]string{t})
	if err == nil {
		show("describe", fmt.Sprint(topics[0].Err, len(topics[0].Partitions), topics[0].IsInternal), nil)
	}
	show("grow", "", a.CreatePartitions(t, 5, nil, false))
	show("shrink", "", s.code(a.CreatePartitions(t, 2, nil, false)))
	compact := "compact,delete"
	show("alter", "", a.IncrementalAlterConfig(sarama.TopicResource, t, map[string]sarama.IncrementalAlterConfigsEntry{
		"cleanup.policy": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &compact}}, false))
	entries, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: t})
	slices.SortFunc(entries, func(x, y sarama.ConfigEntry) int { return strings.Compare(x.Name, y.Name) })
	for _, e := range entries {
		show("config "+e.Name, []any{e.Value, e.Source, e.ReadOnly}, err)
	}
	brokers, controller, err := a.DescribeCluster()
	show("cluster", []any{len(brokers), controller}, err)
	show("produce", "", s.produce(50, "zstd"))
	show("delete records", "", a.DeleteRecords(t, map[int32]int64{0: 1}))
	groups, err := a.ListConsumerGroups()
	show("groups", slices.Contains(slices.Collect(maps.Keys(groups)), t+"-no"), err)
	show("delete group", "", s.code(a.DeleteConsumerGroup(t+"-no")))
	show("delete", "", a.DeleteTopic(t))
	return nil
}

// code reduces an error to Kafka's code, without the broker's words.
func (saramaClient) code(err error) error {
	var k sarama.KError
	if errors.As(err, &k) {
		return k
	}
	return err
}
