package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gokafka/cluster"
	"gokafka/log"
	"gokafka/protocol"
)

// Journal is the log of an internal topic, for the coordinators that keep their state in it.
type Journal struct {
	Manager      *Manager
	Acks         int16         // offsets.commit.required.acks
	Verification *Verification // of transactions that write to it; nil where none do
}

// journalPatience is how long an append is waited for: as long as this broker leads. A batch that is in the log will be
// committed sooner or later, and the coordinator's memory must not part ways with it before; how long a client waits is
// the coordinator's business.
const journalPatience = 10 * 365 * 24 * time.Hour

// Append appends a batch to a partition that this broker leads. It returns once the batch is in the local log; a nil wait
// means that it is committed, else wait blocks until it is, or until that cannot be known here.
func (j *Journal) Append(tp protocol.TopicPartition, batch []byte) (base int64, wait func(context.Context) error, err error) {
	return j.append(tp, batch, log.AppendOptions{Origin: log.OriginCoordinator})
}

// Verify asks whether a transaction includes a partition, before a batch of it is appended with the answer. Errors are those of
// Verification.Verify.
func (j *Journal) Verify(ctx context.Context, tp protocol.TopicPartition, p cluster.TxnProducer) (cluster.TxnGuard, error) {
	appends := []TxnAppend{{TopicPartition: tp, Sequence: protocol.NoSequence}}
	j.Verification.Verify(ctx, p, appends)
	return cluster.TxnGuard(appends[0].Options.Verification), appends[0].Err
}

// AppendVerified is Append for a batch of a transaction, with what Verify answered.
func (j *Journal) AppendVerified(
	tp protocol.TopicPartition, batch []byte, guard cluster.TxnGuard,
) (base int64, wait func(context.Context) error, err error) {
	return j.append(tp, batch, log.AppendOptions{Origin: log.OriginCoordinator, Verify: j.Verification.Enabled(),
		Verification: log.VerificationGuard(guard)})
}

func (j *Journal) append(tp protocol.TopicPartition, batch []byte, o log.AppendOptions) (base int64, wait func(context.Context) error, err error) {
	a, err := j.Manager.Append(tp, batch, j.Acks, o)
	if err != nil {
		return -1, nil, err
	}
	if j.Acks != AcksAll || a.Committed {
		return a.FirstOffset, nil, nil
	}
	deadline := j.Manager.host.now().Add(journalPatience)
	return a.FirstOffset, func(ctx context.Context) error {
		acks := []Ack{a.Ack(tp)}
		j.Manager.AwaitAcks(ctx, deadline, acks)
		return acks[0].Err
	}, nil
}

// Replay visits a partition's log from its start to its end, whole batches at a time and about bytesMax at once. The
// bytes are valid during the visit. An error of visit ends it and comes back.
func (j *Journal) Replay(ctx context.Context, tp protocol.TopicPartition, bytesMax int, visit func(batches []byte) error) error {
	p, err := j.Manager.online(tp)
	if err != nil {
		return err
	}
	l, err := p.View().local(cluster.NoEpoch, false)
	if err != nil {
		return err
	}
	if err := l.Replay(ctx, bytesMax, visit); err != nil {
		return fmt.Errorf("replay %s: %w", tp, err)
	}
	return nil
}

// AwaitCommitted blocks until all that the log of a partition that this broker leads has now is committed.
func (j *Journal) AwaitCommitted(ctx context.Context, tp protocol.TopicPartition) error {
	p, err := j.Manager.online(tp)
	if err != nil {
		return err
	}
	v := p.View()
	l, err := v.local(cluster.NoEpoch, true)
	if err != nil {
		return err
	}
	acks := []Ack{{TopicPartition: tp, Required: l.LogEndOffset().Offset, LeaderEpoch: v.LeaderEpoch}}
	j.Manager.AwaitAcks(ctx, j.Manager.host.now().Add(journalPatience), acks)
	if errors.Is(acks[0].Err, ErrNotEnoughReplicasAfterAppend) {
		return nil // on fewer replicas than it should be, and committed
	}
	return acks[0].Err
}
