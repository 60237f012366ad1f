package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// script does what it is told line by line, with producers that have names.
type script struct {
	addrs     string
	producers map[string]*producer
}

type producer struct {
	client *kgo.Client
	id     string
}

func newScript(addrs string) *script { return &script{addrs: addrs, producers: map[string]*producer{}} }

func (s *script) run(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		answer := "ok"
		if err := s.do(ctx, strings.Fields(lines.Text())); err != nil {
			answer = "failed " + kind(err)
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

// kind is the name of an error: Kafka's, if it is one.
func kind(err error) string {
	var known *kerr.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return strings.ReplaceAll(err.Error(), "\n", " ")
}

func (s *script) do(ctx context.Context, words []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	name, rest := words[1], words[2:]
	if words[0] == "init" {
		return s.init(ctx, name, rest)
	}
	p, ok := s.producers[name]
	if !ok {
		return fmt.Errorf("no producer %q", name)
	}
	switch words[0] {
	case "begin":
		return p.client.BeginTransaction()
	case "send":
		return p.send(ctx, rest)
	case "offsets":
		return p.offsets(ctx, rest)
	case "commit":
		return p.client.EndTransaction(ctx, kgo.TryCommit)
	case "abort":
		return p.client.EndTransaction(ctx, kgo.TryAbort)
	case "close":
		p.client.Close()
		return nil
	default:
		return fmt.Errorf("unknown command %q", words[0])
	}
}

func (s *script) init(ctx context.Context, name string, rest []string) error {
	timeout, err := strconv.Atoi(rest[1])
	if err != nil {
		return err
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.addrs, ",")...), kgo.MetadataMinAge(50*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID(rest[0]), kgo.TransactionTimeout(time.Duration(timeout)*time.Millisecond), kgo.UnknownTopicRetries(-1))
	if err != nil {
		return err
	}
	s.producers[name] = &producer{client: c, id: rest[0]}
	_, _, err = c.ProducerID(ctx)
	return err
}

// send sends one record to each of some partitions and waits for their answers.
func (p *producer) send(ctx context.Context, rest []string) error {
	var all []*kgo.Record
	partitions, err := strconv.Atoi(rest[1])
	if err != nil {
		return err
	}
	for i := range partitions {
		all = append(all, &kgo.Record{Topic: rest[0], Partition: int32(i), Value: []byte(rest[2])})
	}
	return p.client.ProduceSync(ctx, all...).FirstErr()
}

// offsets sends one offset of a group. franz-go does that only for groups that it is a member of, so the requests are our own.
func (p *producer) offsets(ctx context.Context, rest []string) error {
	offset, err := strconv.ParseInt(rest[2], 10, 64)
	if err != nil {
		return err
	}
	id, epoch, err := p.client.ProducerID(ctx)
	if err != nil {
		return err
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = p.id, id, epoch, rest[0]
	added, err := add.RequestWith(ctx, p.client)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
	}
	if err != nil {
		return err
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.ProducerID, commit.ProducerEpoch, commit.Group = p.id, id, epoch, rest[0]
	partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	partition.Offset = offset
	commit.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: rest[1], Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{partition}}}
	committed, err := commit.RequestWith(ctx, p.client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(committed.Topics[0].Partitions[0].ErrorCode)
}
