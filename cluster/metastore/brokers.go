package metastore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"gokafka/cluster"
)

// ErrBrokerIDTaken refuses a registration: a live broker in another process has the id.
var ErrBrokerIDTaken = errors.New("broker id is registered by another live broker")

// RegisterBroker makes the broker's ephemeral node and returns its epoch, the czxid of that node. A node left by an earlier session of this
// process (previous, 0 for none) is replaced; one of another live broker is ErrBrokerIDTaken. The node is created empty and then
// set, in one transaction, because only the answer to a set carries the czxid.
func (s *Store) RegisterBroker(ctx context.Context, b cluster.Broker, previous int64) (cluster.BrokerEpoch, error) {
	epoch, err := s.tryRegisterBroker(ctx, b)
	if !errors.Is(err, ErrNodeExists) {
		return epoch, err
	}
	r, err := s.read(ctx, Read{Path: PathBroker(b.ID)})
	switch {
	case errors.Is(err, ErrNoNode): // it went away meanwhile
		return s.tryRegisterBroker(ctx, b)
	case err != nil:
		return 0, err
	case r.Stat.EphemeralOwner == s.tree.Session(): // our own write, whose answer was lost
		return cluster.BrokerEpoch(r.Stat.Czxid), nil
	case previous != 0 && r.Stat.EphemeralOwner == previous:
		if _, err := s.write(ctx, Delete(PathBroker(b.ID), AnyVersion)); err != nil && !errors.Is(err, ErrNoNode) {
			return 0, err
		}
		return s.tryRegisterBroker(ctx, b)
	}
	return 0, fmt.Errorf("register broker %d: %w", b.ID, ErrBrokerIDTaken)
}

func (s *Store) tryRegisterBroker(ctx context.Context, b cluster.Broker) (cluster.BrokerEpoch, error) {
	path := PathBroker(b.ID)
	results, err := s.write(ctx, Create(path, nil, Ephemeral), Set(path, encodeBroker(b, time.Now()), 0))
	if err != nil {
		return 0, err
	}
	return cluster.BrokerEpoch(results[1].Stat.Czxid), nil
}

// UpdateBroker replaces what the broker's registration says; its epoch stays.
func (s *Store) UpdateBroker(ctx context.Context, b cluster.Broker) error {
	_, err := s.write(ctx, Set(PathBroker(b.ID), encodeBroker(b, time.Now()), AnyVersion))
	return err
}

// DeregisterBroker removes the broker's registration, at the end of an orderly stop that keeps the session.
func (s *Store) DeregisterBroker(ctx context.Context, id cluster.BrokerID) error {
	_, err := s.write(ctx, Delete(PathBroker(id), AnyVersion))
	return err
}

// BrokerIDs lists the live brokers in ascending order and watches for one that comes or goes.
func (s *Store) BrokerIDs(ctx context.Context, w *Watcher) ([]cluster.BrokerID, error) {
	names, err := s.children(ctx, PathBrokerIDs, w)
	if err != nil {
		return nil, err
	}
	var ids []cluster.BrokerID
	for _, name := range names {
		if id, ok := BrokerOf(PathBrokerIDs + "/" + name); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Brokers reads the registrations of the live brokers, in the order of their ids; children watches for one that comes or goes, data
// for a change of one that is there. Registrations that cannot be decoded are ErrUnreadable, beside the others, which are returned all the same.
func (s *Store) Brokers(ctx context.Context, children, data *Watcher) (brokers []cluster.Broker, err error) {
	ids, err := s.BrokerIDs(ctx, children)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	reads := make([]Read, len(ids))
	for i, id := range ids {
		reads[i] = Read{Path: PathBroker(id), Watch: data}
	}
	results, err := s.tree.Read(ctx, reads)
	if err != nil {
		return nil, fmt.Errorf("read brokers: %w", err)
	}
	var bad error
	for i, r := range results {
		if errors.Is(r.Err, ErrNoNode) {
			continue
		}
		if b, err := brokerOf(ids[i], r); err != nil {
			bad = errors.Join(bad, ErrUnreadable, err)
		} else {
			brokers = append(brokers, b)
		}
	}
	return brokers, bad
}

// Broker reads one registration; ErrNoNode when the broker is not alive.
func (s *Store) Broker(ctx context.Context, id cluster.BrokerID, w *Watcher) (cluster.Broker, error) {
	r, err := s.read(ctx, Read{Path: PathBroker(id), Watch: w})
	if err != nil {
		return cluster.Broker{}, err
	}
	return brokerOf(id, r)
}

func brokerOf(id cluster.BrokerID, r ReadResult) (cluster.Broker, error) {
	if r.Err != nil {
		return cluster.Broker{}, r.Err
	}
	b, err := decodeBroker(PathBroker(id), r.Data)
	b.ID, b.Epoch = id, cluster.BrokerEpoch(r.Stat.Czxid)
	return b, err
}

// NextBrokerID returns a broker id that no other broker was given: the number of times that this was asked, above the reserved ids
// (reserved.broker.max.id).
func (s *Store) NextBrokerID(ctx context.Context, reserved cluster.BrokerID) (cluster.BrokerID, error) {
	results, err := s.write(ctx, Set(PathBrokerSequence, []byte{}, AnyVersion))
	if errors.Is(err, ErrNoNode) {
		if err := s.createRecursive(ctx, PathBrokerSequence, nil); err != nil && !errors.Is(err, ErrNodeExists) {
			return 0, err
		}
		results, err = s.write(ctx, Set(PathBrokerSequence, []byte{}, AnyVersion))
	}
	if err != nil {
		return 0, err
	}
	return reserved + cluster.BrokerID(results[0].Stat.Version), nil
}

// Registration keeps one broker registered through the sessions of its life.
type Registration struct {
	store   *Store
	broker  cluster.Broker
	session int64 // the one that the broker was last registered in
	epoch   atomic.Int64
}

// NewRegistration prepares the registration of a broker.
func (s *Store) NewRegistration(b cluster.Broker) *Registration {
	r := &Registration{store: s, broker: b}
	r.epoch.Store(-1)
	return r
}

// Register registers the broker in the current session and returns its new epoch. The node of its own earlier session is replaced. It
// must not be called concurrently: the wiring calls it at the start, the controller's loop after that.
func (r *Registration) Register(ctx context.Context) (cluster.BrokerEpoch, error) {
	session := r.store.tree.Session()
	epoch, err := r.store.RegisterBroker(ctx, r.broker, r.session)
	if err != nil {
		return 0, err
	}
	r.session = session
	r.epoch.Store(int64(epoch))
	return epoch, nil
}

// Stale reports whether the session that the broker was registered in is gone. Like Register it must not be called concurrently.
func (r *Registration) Stale() bool { return r.session != r.store.tree.Session() }

// Outlived reports whether the broker is registered in the current session, and an event of a session's loss is about an earlier one. Like
// Register it must not be called concurrently.
func (r *Registration) Outlived(lost Event) bool { return !r.Stale() && r.session != lost.Session }

// Epoch is the broker's current epoch, -1 before it was registered.
func (r *Registration) Epoch() cluster.BrokerEpoch { return cluster.BrokerEpoch(r.epoch.Load()) }

// ErrNotElected says that another broker is the controller.
var ErrNotElected = errors.New("another broker was elected controller")

// Controller returns the id of the broker that is the controller, and watches /controller for any change, its creation included; ok is
// false when there is none.
func (s *Store) Controller(ctx context.Context, w *Watcher) (id cluster.BrokerID, ok bool, err error) {
	if w != nil { // exists arms a watch on a missing node too, which get does not
		if _, err := s.read(ctx, Read{Kind: ReadExists, Path: PathController, Watch: w}); err != nil && !errors.Is(err, ErrNoNode) {
			return -1, false, err
		}
	}
	r, err := s.read(ctx, Read{Path: PathController})
	if errors.Is(err, ErrNoNode) {
		return -1, false, nil
	}
	if err != nil {
		return -1, false, err
	}
	id, err = decodeController(r.Data)
	return id, err == nil, err
}

// ClaimController makes the broker the controller, in one transaction with the next controller epoch; ErrNotElected when another
// was faster.
func (s *Store) ClaimController(ctx context.Context, id cluster.BrokerID) (Claim, error) {
	epoch, version, err := s.controllerEpoch(ctx)
	if err != nil {
		return Claim{}, err
	}
	claim := Claim{ID: id, Epoch: epoch + 1}
	results, err := s.write(ctx,
		Create(PathController, encodeController(id, time.Now()), Ephemeral),
		Set(PathControllerEpoch, strconv.AppendInt(nil, int64(claim.Epoch), 10), version))
	if errors.Is(err, ErrNodeExists) || errors.Is(err, ErrBadVersion) {
		return s.confirmClaim(ctx, claim)
	}
	if err != nil {
		return Claim{}, err
	}
	claim.Version = results[1].Stat.Version
	return claim, nil
}

// confirmClaim looks whether a claim that seemed to fail was ours after all: the connection can be lost after the transaction
// committed. The proof is our id with the very epoch that we tried, which no later election can have.
func (s *Store) confirmClaim(ctx context.Context, claim Claim) (Claim, error) {
	id, ok, err := s.Controller(ctx, nil)
	if err != nil {
		return Claim{}, err
	}
	if !ok || id != claim.ID {
		return Claim{}, ErrNotElected
	}
	epoch, version, err := s.controllerEpoch(ctx)
	if err != nil {
		return Claim{}, err
	}
	if epoch != claim.Epoch {
		return Claim{}, ErrNotElected
	}
	claim.Version = version
	return claim, nil
}

// controllerEpoch reads the epoch of the last election, 0 before the first.
func (s *Store) controllerEpoch(ctx context.Context) (cluster.ControllerEpoch, int32, error) {
	r, err := s.read(ctx, Read{Path: PathControllerEpoch})
	if errors.Is(err, ErrNoNode) {
		if err := s.createRecursive(ctx, PathControllerEpoch, []byte("0")); err != nil && !errors.Is(err, ErrNodeExists) {
			return 0, 0, err
		}
		r, err = s.read(ctx, Read{Path: PathControllerEpoch})
	}
	if err != nil {
		return 0, 0, err
	}
	epoch, err := decodeEpoch(r.Data)
	return epoch, r.Stat.Version, err
}

// ReleaseController gives the claim up, so that the brokers elect again.
func (s *Store) ReleaseController(ctx context.Context, c Claim) error {
	return s.deleteFenced(ctx, c, []string{PathController})
}
