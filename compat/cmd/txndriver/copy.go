package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// copier copies a topic, partition by partition, in transactions that commit the offsets of what they copied.
type copier struct{ addrs, input, output, group, id string }

func (c copier) run(ctx context.Context) error {
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(strings.Split(c.addrs, ",")...), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.TransactionalID(c.id), kgo.TransactionTimeout(10*time.Second), kgo.DefaultProduceTopic(c.output), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumerGroup(c.group), kgo.ConsumeTopics(c.input), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond))
	if err != nil {
		return fmt.Errorf("start session: %w", err)
	}
	defer session.Close()
	for ctx.Err() == nil {
		if err := c.once(ctx, session); err != nil {
			return err
		}
	}
	return nil
}

// once copies some records in one transaction. Each seventh is aborted for no reason, and its records are read again.
func (c copier) once(ctx context.Context, session *kgo.GroupTransactSession) error {
	fetches := session.PollRecords(ctx, 50)
	if fetches.NumRecords() == 0 {
		return nil
	}
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	background := context.Background() // a transaction is brought to its end when the program shall stop
	failed := kgo.AbortingFirstErrPromise(session.Client())
	fetches.EachRecord(func(r *kgo.Record) {
		session.Produce(background, &kgo.Record{Partition: r.Partition, Key: r.Key, Value: r.Value}, failed.Promise())
	})
	try := failed.Err() == nil && rand.IntN(7) > 0
	committed, err := session.End(background, kgo.TransactionEndTry(try))
	if err != nil {
		return fmt.Errorf("end transaction: %w", err)
	}
	fmt.Println("committed", committed, fetches.NumRecords())
	return nil
}
