package load

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Group is a consumer group with one member, which reads and commits until it is told to stop.
type Group struct {
	Seen
	client *kgo.Client
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// StartGroup begins to read a topic from its start.
func StartGroup(t *testing.T, addrs, topic, group string) *Group {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	g := &Group{cancel: cancel}
	g.client = Client(t, addrs, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.BlockRebalanceOnPoll(), kgo.AutoCommitInterval(time.Second), kgo.OnPartitionsAssigned(g.assigned))
	g.wg.Go(func() { g.read(ctx) })
	t.Cleanup(g.stop)
	return g
}

func (g *Group) assigned(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	for _, partitions := range topics {
		for _, p := range partitions {
			g.Assigned(p)
		}
	}
}

func (g *Group) read(ctx context.Context) {
	for {
		fetches := g.client.PollRecords(ctx, 10_000)
		if ctx.Err() != nil {
			g.client.AllowRebalance() // or the client could not be closed
			return
		}
		fetches.EachError(func(_ string, _ int32, err error) {
			var lost *kgo.ErrDataLoss
			if errors.As(err, &lost) {
				g.Fail(err)
			}
		})
		fetches.EachRecord(func(r *kgo.Record) { g.Read(Position{r.Partition, r.Offset}, string(r.Value)) })
		g.client.AllowRebalance()
	}
}

// AwaitEnds waits until the group has read up to some offsets.
func (g *Group) AwaitEnds(t *testing.T, ends map[int32]int64) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		read := g.Ends()
		behind := false
		for p, want := range ends {
			behind = behind || read[p] < want
		}
		if !behind {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the group has read up to %v, want %v", read, ends)
		}
	}
}

// Finish commits what was read and leaves the group.
func (g *Group) Finish(t *testing.T) {
	t.Helper()
	g.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := g.client.CommitUncommittedOffsets(ctx); err != nil {
		t.Errorf("commit: %v", err)
	}
	g.client.Close()
}

func (g *Group) stop() {
	g.cancel()
	g.wg.Wait()
}
