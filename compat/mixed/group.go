package mixed

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gokafka/compat/load"
)

// Group is a consumer group whose members commit everything that they read. What one of them reads is the next offset of its
// partition, or one that was read before and not committed yet: nothing is left out, and nothing that was committed comes again.
type Group struct {
	c         *Cluster
	topic, id string
	stop      context.CancelFunc
	members   sync.WaitGroup
	count     atomic.Int64

	mu              sync.Mutex
	next, committed map[int32]int64
	again           int
	err             error // the first that was wrong
}

// Consume starts a group of some members that read a topic until Finish.
func (c *Cluster) Consume(topic, id string, members int) *Group {
	ctx, stop := context.WithCancel(context.Background())
	g := &Group{c: c, topic: topic, id: id, stop: stop, next: map[int32]int64{}, committed: map[int32]int64{}}
	for range members {
		client := load.Client(c.t, c.Addrs(), kgo.ConsumeTopics(topic), kgo.ConsumerGroup(id), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(30*time.Second))
		g.members.Go(func() { // ends when Finish, or the end of the test, cancels the context
			for ctx.Err() == nil {
				g.poll(ctx, client)
			}
			client.CloseAllowingRebalance()
		})
	}
	c.t.Cleanup(func() { stop(); g.members.Wait() })
	return g
}

// poll reads for a moment and commits what it read.
func (g *Group) poll(ctx context.Context, client *kgo.Client) {
	defer client.AllowRebalance()
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	read := client.PollRecords(ctx, 1000).Records()
	if len(read) == 0 {
		return
	}
	upTo := g.note(read)
	ctx, cancel = context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if client.CommitRecords(ctx, read...) == nil {
		g.noteCommitted(upTo)
	}
}

// note checks what a member has read and returns where that is to go on.
func (g *Group) note(read []*kgo.Record) map[int32]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	upTo := map[int32]int64{}
	for _, r := range read {
		next, committed := g.next[r.Partition], g.committed[r.Partition]
		if (r.Offset > next || r.Offset < committed) && g.err == nil {
			g.err = fmt.Errorf("partition %d: offset %d was read, the next was %d, and %d was committed", r.Partition, r.Offset, next, committed)
		}
		if r.Offset < next {
			g.again++
		}
		g.next[r.Partition], upTo[r.Partition] = max(next, r.Offset+1), r.Offset+1
	}
	g.count.Add(int64(len(read)))
	return upTo
}

func (g *Group) noteCommitted(upTo map[int32]int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p, next := range upTo {
		g.committed[p] = max(g.committed[p], next)
	}
}

// state is where the group is, and what was wrong.
func (g *Group) state() (next map[int32]int64, again int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next = map[int32]int64{}
	for p, o := range g.committed {
		next[p] = o
	}
	return next, g.again, g.err
}

// Finish waits until everything is read and committed, ends the members, and checks what the coordinator has as the group's offsets.
func (g *Group) Finish() {
	g.c.t.Helper()
	ends := load.EndOffsets(g.c.t, g.c.Addrs(), g.topic)
	g.c.await("group "+g.id+" reads to the end", func(context.Context) error {
		at, _, err := g.state()
		if err != nil {
			g.c.t.Fatal(err)
		}
		if fmt.Sprint(at) != fmt.Sprint(ends) {
			err = fmt.Errorf("it is at %v of %v", at, ends)
		}
		return err
	})
	g.stop()
	g.members.Wait()
	g.AwaitCommitted(ends)
	_, again, _ := g.state()
	g.c.t.Logf("group %s read %d records, %d of them again", g.id, g.count.Load(), again)
}

// AwaitCommitted waits until the coordinator, which may have to be elected, tells of the offsets that are wanted.
func (g *Group) AwaitCommitted(want map[int32]int64) {
	g.c.t.Helper()
	g.c.await("offsets of group "+g.id, func(ctx context.Context) error {
		offsets, err := g.c.Admin.FetchOffsets(ctx, g.id)
		if err != nil {
			return err
		}
		got := map[int32]int64{}
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.At > 0 {
				got[o.Partition] = o.At
			}
			if o.Err != nil {
				err = o.Err
			}
		})
		if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			err = fmt.Errorf("they are %v instead of %v", got, want)
		}
		return err
	})
}
