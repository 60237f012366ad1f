package txn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/cluster"
)

// asked is a coordinator elsewhere, which answers when it is let.
type asked struct {
	mu    sync.Mutex
	asked []string // the ids of each request
	let   chan error
}

func (a *asked) VerifyTxns(ctx context.Context, txns []cluster.TxnVerification) ([][]error, error) {
	a.mu.Lock()
	ids := ""
	for _, v := range txns {
		ids += v.TransactionalID
	}
	a.asked = append(a.asked, ids)
	a.mu.Unlock()
	select {
	case err := <-a.let:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	answers := make([][]error, len(txns))
	for i, v := range txns {
		answers[i] = fill(len(v.Partitions), nil)
		answers[i][0] = kerr.TransactionAbortable
	}
	return answers, nil
}

func (a *asked) Close() error {
	select {
	case a.let <- errors.New("hung up"):
	default:
	}
	return nil
}

func newVerifier(t *testing.T, coordinator cluster.BrokerID) (*lab, *Verifier, *asked) {
	l := newLab(t)
	l.lead(coordinator, at(cluster.TransactionsTopic, 0)...)
	other := &asked{let: make(chan error)}
	v := NewVerifier(VerifierOptions{ID: 1, Local: l.Coordinator, Image: l.image.Load,
		Dial: func(cluster.BrokerID) PeerVerifier { return other }})
	t.Cleanup(v.Close)
	return l, v, other
}

func TestVerifyHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, v, _ := newVerifier(t, 1)
		l.Elected(0, 1)
		synctest.Wait()
		p := l.begin(t, "x", at("t", 0)...)
		errs := v.Verify(t.Context(), cluster.TxnProducer{TransactionalID: "x", ID: p.ID, Epoch: p.Epoch}, at("t", 0, 1))
		if errs[0] != nil || !errors.Is(errs[1], kerr.TransactionAbortable) {
			t.Error(errs)
		}
		errs = v.Verify(t.Context(), cluster.TxnProducer{TransactionalID: "x", ID: p.ID, Epoch: p.Epoch + 1}, at("t", 0, 1))
		if !errors.Is(errs[0], kerr.ProducerFenced) || !errors.Is(errs[1], kerr.ProducerFenced) {
			t.Error(errs)
		}
		l.lead(cluster.NoLeader, at(cluster.TransactionsTopic, 0)...)
		if errs := v.Verify(t.Context(), cluster.TxnProducer{TransactionalID: "x"}, at("t", 0)); !errors.Is(errs[0], kerr.CoordinatorNotAvailable) {
			t.Error(errs)
		}
	})
}

// One request is under way at a time, with all that has gathered, but no id twice.
func TestVerifyElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, other := newVerifier(t, 2)
		answers := make(chan []error)
		for _, id := range []string{"a", "b", "c", "b"} {
			go func() { answers <- v.Verify(t.Context(), cluster.TxnProducer{TransactionalID: id}, at("t", 0, 1)) }()
			synctest.Wait()
		}
		for range 3 {
			other.let <- nil
			synctest.Wait()
		}
		for range 4 {
			if errs := <-answers; !errors.Is(errs[0], kerr.TransactionAbortable) || errs[1] != nil {
				t.Error(errs)
			}
		}
		if got := fmt.Sprint(other.asked); got != "[a bc b]" {
			t.Error(got)
		}
	})
}

func TestVerifyElsewhereFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, other := newVerifier(t, 2)
		verify := func(ctx context.Context) chan []error {
			answer := make(chan []error, 1)
			go func() { answer <- v.Verify(ctx, cluster.TxnProducer{TransactionalID: "x"}, at("t", 0, 1)) }()
			return answer
		}
		for _, test := range []struct{ failed, want error }{
			{errors.New("hung up"), kerr.NetworkException}, {kerr.ClusterAuthorizationFailed, kerr.ClusterAuthorizationFailed},
			{fmt.Errorf("too old: %w", kerr.UnsupportedVersion), nil},
		} {
			answer := verify(t.Context())
			other.let <- test.failed
			if errs := <-answer; len(errs) != 2 || errs[1] != test.want {
				t.Errorf("%v: %v", test.failed, errs)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		answer := verify(ctx)
		synctest.Wait()
		cancel()
		if errs := <-answer; !errors.Is(errs[0], kerr.NetworkException) {
			t.Error(errs)
		}
		answer = verify(t.Context())
		synctest.Wait()
		v.Close()
		if errs := <-answer; !errors.Is(errs[0], kerr.NetworkException) {
			t.Error(errs)
		}
		if errs := <-verify(t.Context()); !errors.Is(errs[0], kerr.NetworkException) {
			t.Error(errs)
		}
	})
}

// A coordinator that dies and says nothing is not waited for.
func TestVerifyDoesNotWaitForTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, _ := newVerifier(t, 2)
		go func() {
			synctest.Wait()
			v.BrokersDied([]cluster.BrokerID{2, 3})
		}()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if errs := v.Verify(ctx, cluster.TxnProducer{TransactionalID: "x"}, at("t", 0)); !errors.Is(errs[0], kerr.NetworkException) || time.Since(begin) > 0 {
			t.Errorf("%v after %v", errs, time.Since(begin))
		}
	})
}
