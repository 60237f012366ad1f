package main

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"
)

type segmentio struct{ target }

func (s segmentio) produce(count int, codec string) error {
	codecs := map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}
	w := &kafka.Writer{Addr: kafka.TCP(s.address), Topic: s.topic, Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll, Compression: codecs[codec], BatchTimeout: 5 * time.Millisecond}
	var all []kafka.Message
	for i := range count {
		key, value := message(i)
		all = append(all, kafka.Message{Key: key, Value: value})
	}
	if err := w.WriteMessages(context.Background(), all...); err != nil {
		return err
	}
	return w.Close()
}

func (s segmentio) consume(count int) error {
	c, err := kafka.Dial("tcp", s.address)
	if err != nil {
		return err
	}
	defer c.Close()
	partitions, err := c.ReadPartitions(s.topic)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	messages := make(chan kafka.Message)
	for _, p := range partitions {
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{s.address}, Topic: s.topic, Partition: p.ID, MaxWait: 100 * time.Millisecond})
		defer r.Close()
		go func() { // ends when its reader closes
			for {
				m, err := r.ReadMessage(ctx)
				if err != nil {
					return
				}
				messages <- m
			}
		}()
	}
	for ; count > 0; count-- {
		select {
		case m := <-messages:
			record(int32(m.Partition), m.Offset, m.Value)
		case <-ctx.Done():
			return errors.New("no records")
		}
	}
	return nil
}

// group uses the library's ConsumerGroup, which says what it is assigned; its Reader does not.
func (s segmentio) group(name string, stopped <-chan struct{}) error {
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: name, Brokers: []string{s.address}, Topics: []string{s.topic}, StartOffset: kafka.FirstOffset,
		SessionTimeout: 10 * time.Second, HeartbeatInterval: 500 * time.Millisecond, RebalanceTimeout: 10 * time.Second})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends when stdin does, as the whole process
		<-stopped
		cancel()
	}()
	for ctx.Err() == nil {
		generation, err := g.Next(ctx)
		if err != nil {
			continue
		}
		var held []int32
		for _, a := range generation.Assignments[s.topic] {
			held = append(held, int32(a.ID))
			generation.Start(func(ctx context.Context) { s.read(ctx, generation, a) })
		}
		assigned(held)
	}
	return g.Close()
}

func (s segmentio) read(ctx context.Context, g *kafka.Generation, a kafka.PartitionAssignment) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{s.address}, Topic: s.topic, Partition: a.ID, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	if err := r.SetOffset(a.Offset); err != nil {
		say("seek failed", err)
		return
	}
	for {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return
		}
		record(int32(m.Partition), m.Offset, m.Value)
		if err := g.CommitOffsets(map[string]map[int]int64{s.topic: {a.ID: m.Offset + 1}}); err != nil {
			say("commit failed", err)
		}
	}
}

func (s segmentio) admin() error {
	c := &kafka.Client{Addr: kafka.TCP(s.address), Timeout: 30 * time.Second}
	ctx, t := context.Background(), s.topic
	created, err := c.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: t, NumPartitions: 3, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "1000000"}}}}})
	show("create", created.Errors[t], err)
	meta, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{t}})
	show("describe", len(meta.Topics[0].Partitions), err)
	grown, err := c.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: t, Count: 5}}})
	show("grow", grown.Errors[t], err)
	configs, err := c.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: t, ConfigNames: []string{"retention.ms"}}}})
	show("configs", configs.Resources[0].ConfigEntries[0].ConfigValue, err)
	altered, err := c.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: t,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "cleanup.policy", Value: "compact,delete"}}}}})
	show("alter", altered.Resources[0].Error, err)
	show("produce", "", s.produce(50, "lz4"))
	offsets, err := c.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{t: {kafka.LastOffsetOf(0), kafka.FirstOffsetOf(0)}}})
	show("offsets", offsets.Topics[t][0].LastOffset, err)
	deleted, err := c.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{t}})
	show("delete", deleted.Errors[t], err)
	return nil
}
