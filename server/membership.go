package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gokafka/cluster"
	"gokafka/cluster/controller"
	"gokafka/cluster/metastore"
)

// storeFile is the embedded store's file in the first log directory. Apache's brokers ignore files that they do not know there.
const storeFile = "metastore.db"

// openTree connects to the cluster's ZooKeeper, or opens the store that a broker has which is a cluster of its own.
func (b *Broker) openTree(ctx context.Context) (metastore.Tree, error) {
	if b.config.Standalone() {
		return b.openEmbedded()
	}
	v := b.config.Current()
	if p := v.ProtocolVersion(); !p.AtLeast(3, 0, 0) {
		return nil, fmt.Errorf("inter.broker.protocol.version %v is older than 3.0, which this broker does not speak", p)
	}
	o := metastore.ZooKeeperOptions{Connect: v.String("zookeeper.connect"), SessionTimeout: v.Millis("zookeeper.session.timeout.ms"),
		InFlightMax: v.Int("zookeeper.max.in.flight.requests"), SetACL: v.Bool("zookeeper.set.acl"), Logger: b.logger}
	if v.Has("zookeeper.connection.timeout.ms") {
		o.ConnectionTimeout = v.Millis("zookeeper.connection.timeout.ms")
	}
	user, password, err := v.ZooKeeperLogin()
	if err != nil {
		return nil, err
	}
	if user != "" {
		o.Credentials = &metastore.Credentials{User: user, Password: password}
	} else if o.SetACL {
		return nil, errors.New("zookeeper.set.acl is true, but there are no credentials for ZooKeeper: no JAAS file has a section for it")
	}
	tree, err := metastore.ConnectZooKeeper(ctx, o)
	if err != nil {
		return nil, err
	}
	b.later(func(context.Context) error { return tree.Close() })
	return tree, nil
}

func (b *Broker) openEmbedded() (metastore.Tree, error) {
	dir := b.config.LogDirs()[0]
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	tree, err := metastore.OpenEmbedded(filepath.Join(dir, storeFile))
	if err != nil {
		return nil, err
	}
	b.later(func(context.Context) error { return tree.Close() })
	session := tree.Connect()
	b.later(func(context.Context) error { return session.Close() })
	return session, nil
}

// prepare makes what the broker takes part in the cluster with. Nothing of it is seen by others yet.
func (b *Broker) prepare(context.Context) error {
	v, id := b.config.Current(), b.id()
	b.registration = b.store.NewRegistration(cluster.Broker{ID: id, Rack: v.String("broker.rack"), Endpoints: b.advertised()})
	b.later(b.deregister)
	b.controller = controller.New(controller.Options{
		ID: id, Store: b.store, Registration: b.registration, Config: controllerConfig(v), Logger: b.logger, Dial: b.dialPeer,
	})
	b.admin.Controller = b.controller
	b.chief.own, b.chief.registration = b.controller, b.registration
	return nil
}

func (b *Broker) deregister(ctx context.Context) error {
	if b.registration.Epoch() < 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, farewellPatience)
	defer cancel()
	err := b.store.DeregisterBroker(ctx, b.id())
	if errors.Is(err, metastore.ErrNoNode) || !b.config.Standalone() && errors.Is(err, context.DeadlineExceeded) {
		return nil // the session's end did the same, or will
	}
	return err
}

// farewellPatience bounds writes that are worth a try to a ZooKeeper that may be out of reach.
const farewellPatience = 3 * time.Second

// join lets the broker take part in the election of a controller, and follow changes of settings.
func (b *Broker) join(context.Context) error {
	b.controller.Start()
	b.thenClose(b.controller.Stop)
	b.config.Subscribe(b.settingsChanged)
	b.applier.Start()
	b.thenClose(b.applier.Stop)
	b.thenClose(b.cancel) // before those who may be waiting for ZooKeeper in it are waited for
	return nil
}

// registerInterval is the pause before the next try to register.
const registerInterval = 200 * time.Millisecond

// register waits for the registration of a former life of this broker to go away with its session, if it was killed and started again.
func (b *Broker) register(ctx context.Context) error {
	patience := 2 * b.config.Current().Millis("zookeeper.session.timeout.ms")
	for began := time.Now(); ; {
		_, err := b.registration.Register(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, metastore.ErrBrokerIDTaken) || time.Since(began) > patience {
			return fmt.Errorf("register broker: %w", err)
		}
		if time.Since(began) < registerInterval {
			b.logger.Warn().Err(err).Msg("broker id is taken, perhaps by a former life of this broker: waiting for its session to end")
		}
		select {
		case <-time.After(registerInterval):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// metadataPatience bounds how long a starting broker waits until it sees itself in the cluster.
const metadataPatience = 30 * time.Second

// awaitMetadata waits until the controller has told the broker of itself; one that is alone waits for all its topics as well, so that
// its first client finds them. In a cluster others may be at fault, and what this broker has is better than nothing.
func (b *Broker) awaitMetadata(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	var topics []string
	if b.config.Standalone() {
		var err error
		if topics, err = b.lastingTopics(ctx); err != nil {
			return err
		}
	}
	told := func(m *cluster.Metadata) bool { return m.Broker(b.id()) != nil && knowsAll(m, topics) }
	err := b.replicas.AwaitMetadata(ctx, told)
	if errors.Is(err, context.DeadlineExceeded) && !b.config.Standalone() {
		b.logger.Warn().Err(err).Msg("not told of the cluster by a controller yet")
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait to be told of the cluster by the controller: %w", err)
	}
	return nil
}

// lastingTopics are the topics that are not about to be deleted.
func (b *Broker) lastingTopics(ctx context.Context) ([]string, error) {
	topics, err := b.store.Topics(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	going, err := b.store.TopicsMarkedForDeletion(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("list topics to be deleted: %w", err)
	}
	return slices.DeleteFunc(topics, func(t string) bool { return slices.Contains(going, t) }), nil
}

// knowsAll reports whether the image has every topic.
func knowsAll(m *cluster.Metadata, topics []string) bool {
	for _, t := range topics {
		if m.Topic(t) == nil {
			return false
		}
	}
	return true
}

// announceFailure tells the controller that a log directory failed, so that it elects other leaders for what was in it. Nobody waits for it,
// and it does not give up: nobody else would tell. Apache tries again as long as there is no connection.
func (b *Broker) announceFailure() {
	b.telling.Go(func() {
		b.untilDone("the controller was not told of a failed log directory, trying again", func(ctx context.Context) error {
			return b.store.AnnounceLogDirFailure(ctx, b.id())
		})
	})
}

// storeInterval is the pause before a store that failed is asked again.
const storeInterval = 200 * time.Millisecond

// untilDone asks something of the store until the store does not fail, or the broker stops.
func (b *Broker) untilDone(complaint string, ask func(context.Context) error) {
	for failures := 0; ; failures++ {
		err := ask(b.ctx)
		if err == nil || b.ctx.Err() != nil {
			return
		}
		if failures == 0 {
			b.logger.Error().Err(err).Msg(complaint)
		}
		select {
		case <-time.After(storeInterval):
		case <-b.ctx.Done():
			return
		}
	}
}

// welcome has Shutdown hand over what the broker leads before anything stops.
func (b *Broker) welcome(context.Context) error {
	if !b.config.Standalone() && b.config.Current().Bool("controlled.shutdown.enable") {
		b.later(b.handOver)
	}
	return nil
}

// seekInterval is the pause before the controller is asked again that was not found.
const seekInterval = 100 * time.Millisecond

// handOver asks the controller to move away what this broker leads (controlled shutdown). What cannot be moved, because no other
// replica is in sync, goes down with the broker; it is tried for again only while there are others who might come into sync. While
// there is no controller, as when all brokers are stopped at once, it is looked for often and not for longer than the tries would take.
func (b *Broker) handOver(ctx context.Context) error {
	b.replicas.Retire()
	v := b.config.Current()
	tries, backoff := v.Int("controlled.shutdown.max.retries"), v.Millis("controlled.shutdown.retry.backoff.ms")
	ctx, cancel := context.WithTimeout(ctx, times(tries, backoff))
	defer cancel()
	for tries > 0 && ctx.Err() == nil {
		left, err := b.chief.ControlledShutdown(ctx)
		pause := min(seekInterval, backoff)
		switch {
		case err == nil && len(left) == 0:
			return nil
		case err != nil:
			b.logger.Debug().Err(err).Msg("controlled shutdown: the controller did not do it")
		default:
			b.logger.Warn().Int("partitions", len(left)).Msg("controlled shutdown: partitions are left without another replica in sync")
			pause = backoff
			tries--
		}
		if b.isLastWithin(ctx, pause) {
			break
		}
	}
	b.logger.Warn().Msg("stopping without having handed over everything")
	return nil
}

// isLastWithin waits, unless this broker is the last that is alive, or becomes it: then it reports true.
func (b *Broker) isLastWithin(ctx context.Context, pause time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	alone := func(m *cluster.Metadata) bool { return len(m.Brokers()) <= 1 }
	return b.replicas.AwaitMetadata(ctx, alone) == nil
}
