package txn

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
	"gokafka/protocol"
)

// PeerVerifier is the coordinator on another broker.
type PeerVerifier interface {
	// VerifyTxns returns what the coordinator thinks of each partition, in the order of the transactions, whose ids are all different,
	// and of their partitions. The error is the broker's for all of them, UNSUPPORTED_VERSION from one that cannot verify, or
	// anything else if it could not be reached. It is not called concurrently.
	VerifyTxns(ctx context.Context, txns []cluster.TxnVerification) ([][]error, error)
	Close() error // ends what is under way; the next call connects anew
}

// VerifierOptions are what a Verifier works with.
type VerifierOptions struct {
	ID    cluster.BrokerID // this broker's
	Local *Coordinator
	Image func() *cluster.Metadata
	Dial  func(coordinator cluster.BrokerID) PeerVerifier // not connected yet
}

// Verifier asks the coordinator of a transaction, wherever it is, whether partitions belong to it (KIP-890). Each broker is sent one
// request at a time, with all that has gathered meanwhile.
type Verifier struct {
	options VerifierOptions
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	senders sync.WaitGroup

	mu    sync.Mutex
	peers map[cluster.BrokerID]*verifierPeer
}

// verifierPeer is another broker, and what it is to be asked.
type verifierPeer struct {
	PeerVerifier
	queue   []*question
	sending bool
}

type question struct {
	cluster.TxnVerification
	answer chan []error // has room for the answer, which nobody may be waiting for any more
}

// NewVerifier returns a verifier that has asked nobody yet.
func NewVerifier(o VerifierOptions) *Verifier {
	v := &Verifier{options: o, peers: map[cluster.BrokerID]*verifierPeer{}}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	return v
}

// Close stops asking. Who waits gets NETWORK_EXCEPTION.
func (v *Verifier) Close() {
	v.mu.Lock()
	v.cancel()
	for _, p := range v.peers {
		_ = p.Close() // nothing is buffered that could be lost
	}
	v.mu.Unlock()
	v.senders.Wait()
}

// BrokersDied ends requests to brokers that are not alive any more, which might say nothing for as long as the timeout.
func (v *Verifier) BrokersDied(ids []cluster.BrokerID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		if p := v.peers[id]; p != nil {
			_ = p.Close() // nothing is buffered that could be lost
		}
	}
}

// Verify returns for each partition, in order, whether the producer's open transaction includes it: nil, TRANSACTION_ABORTABLE if not,
// or what else the coordinator says. COORDINATOR_NOT_AVAILABLE means that none is known, NETWORK_EXCEPTION that it cannot be reached.
// A coordinator that is too old to be asked is taken to have said yes.
func (v *Verifier) Verify(ctx context.Context, p cluster.TxnProducer, partitions []protocol.TopicPartition) []error {
	image := v.options.Image()
	at := protocol.TopicPartition{Topic: cluster.TransactionsTopic, Partition: v.options.Local.PartitionFor(p.TransactionalID)}
	s := image.Partition(at)
	switch {
	case s == nil || image.Broker(s.Leader) == nil:
		return fill(len(partitions), kerr.CoordinatorNotAvailable)
	case s.Leader == v.options.ID:
		return v.options.Local.Verify(ctx, p.TransactionalID, Producer{p.ID, p.Epoch}, partitions)
	}
	q := &question{TxnVerification: cluster.TxnVerification{TxnProducer: p, Partitions: partitions}, answer: make(chan []error, 1)}
	v.ask(s.Leader, q)
	select {
	case errs := <-q.answer:
		return errs
	case <-ctx.Done():
	case <-v.ctx.Done():
	}
	return fill(len(partitions), kerr.NetworkException)
}

func (v *Verifier) ask(coordinator cluster.BrokerID, q *question) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ctx.Err() != nil {
		return
	}
	p := v.peers[coordinator]
	if p == nil {
		p = &verifierPeer{PeerVerifier: v.options.Dial(coordinator)}
		v.peers[coordinator] = p
	}
	p.queue = append(p.queue, q)
	if !p.sending {
		p.sending = true
		v.senders.Go(func() { v.send(p) })
	}
}

// send asks a broker until nobody wants to know anything more.
func (v *Verifier) send(p *verifierPeer) {
	for {
		questions := v.take(p)
		if len(questions) == 0 {
			return
		}
		txns := make([]cluster.TxnVerification, len(questions))
		for i, q := range questions {
			txns[i] = q.TxnVerification
		}
		answers, err := p.VerifyTxns(v.ctx, txns)
		for i, q := range questions {
			if err == nil {
				q.answer <- answers[i]
			} else {
				q.answer <- fill(len(q.Partitions), verifyError(err))
			}
		}
	}
}

// take returns the next questions, no two of them about the same id: a request cannot have that.
func (v *Verifier) take(p *verifierPeer) []*question {
	v.mu.Lock()
	defer v.mu.Unlock()
	var now, later []*question
	ids := map[string]bool{}
	for _, q := range p.queue {
		if ids[q.TransactionalID] {
			later = append(later, q)
			continue
		}
		ids[q.TransactionalID] = true
		now = append(now, q)
	}
	p.queue = later
	p.sending = len(now) > 0
	return now
}

// verifyError is what a failed request means for those who asked.
func verifyError(err error) error {
	switch {
	case is(err, kerr.UnsupportedVersion):
		return nil
	case codeOf(err) != nil:
		return codeOf(err)
	}
	return kerr.NetworkException
}
