package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster"
	"gokafka/cluster/admin"
	"gokafka/cluster/config"
	"gokafka/cluster/controller"
	"gokafka/cluster/group"
	"gokafka/cluster/metastore"
	"gokafka/cluster/replica"
	"gokafka/cluster/txn"
	"gokafka/handlers"
	"gokafka/log"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// rackAwareSelector is the replica.selector.class that sends consumers to replicas in their rack, by its name in Apache Kafka. Others
// are code that only a JVM could load.
const rackAwareSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"

// Broker is one gokafka node: all its parts, made and started in order, and stopped in reverse.
type Broker struct {
	config *config.Broker
	logger zerolog.Logger

	store        *metastore.Store
	logs         *log.Manager
	replicas     *replica.Manager
	throttles    replica.Throttles
	groups       *group.Coordinator
	txns         *txn.Coordinator
	producerIDs  *txn.ProducerIDs
	verification *replica.Verification
	markers      *replica.MarkerWriter
	admin        *admin.Admin
	applier      *admin.Applier
	registration *metastore.Registration
	controller   *controller.Controller
	chief        *chief
	server       *Server

	undo   []func(context.Context) error // what Shutdown does, last first
	ctx    context.Context               // of what nobody waits for; ends once everything is handed over
	cancel context.CancelFunc

	telling sync.WaitGroup // what the store is told until it hears
}

// NewBroker returns a broker that does nothing yet.
func NewBroker(c *config.Broker, logger zerolog.Logger) *Broker {
	b := &Broker{config: c, logger: logger}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// Start brings the broker up: when it returns, clients are answered. When it fails, what was started is stopped again.
func (b *Broker) Start(ctx context.Context) error {
	began := time.Now()
	for _, w := range b.config.Warnings() {
		b.logger.Warn().Msg(w)
	}
	for _, step := range b.steps() {
		if err := step(ctx); err != nil {
			return errors.Join(err, b.Shutdown(context.WithoutCancel(ctx)))
		}
	}
	b.logger.Info().Int32("broker", b.config.ID()).Strs("listeners", b.addresses()).Strs("data", b.config.LogDirs()).
		Dur("after", time.Since(began)).Msg("gokafka answers")
	return nil
}

// steps are what Start does. A broker in a cluster answers as soon as it is registered: the controller, which may be another's, talks to
// it from then on. One that is alone needs no answers for that, and has everything ready for its first client.
func (b *Broker) steps() []func(context.Context) error {
	steps := []func(context.Context) error{b.openStore, b.openLogs, b.makeReplicas, b.bind, b.prepare, b.register}
	if b.config.Standalone() {
		return append(steps, b.join, b.awaitMetadata, b.serve)
	}
	return append(steps, b.serve, b.join, b.awaitMetadata, b.welcome)
}

func (b *Broker) id() cluster.BrokerID { return cluster.BrokerID(b.config.ID()) }

// Shutdown stops the broker: clients first, the disk last. Its error joins all that went wrong on the way.
func (b *Broker) Shutdown(ctx context.Context) error {
	var errs []error
	for len(b.undo) > 0 {
		last := len(b.undo) - 1
		undo := b.undo[last]
		b.undo = b.undo[:last]
		errs = append(errs, undo(ctx))
	}
	return errors.Join(errs...)
}

// later has Shutdown do f.
func (b *Broker) later(f func(context.Context) error) { b.undo = append(b.undo, f) }

// thenClose has Shutdown call a Close that cannot fail.
func (b *Broker) thenClose(f func()) {
	b.later(func(context.Context) error { f(); return nil })
}

// openStore opens the store of the cluster.
func (b *Broker) openStore(ctx context.Context) error {
	tree, err := b.openTree(ctx)
	if err != nil {
		return err
	}
	b.store = metastore.New(tree)
	b.thenClose(func() {
		b.cancel() // a start that failed has not come to it
		b.telling.Wait()
	})
	if err := b.store.CreatePersistentPaths(ctx); err != nil {
		return err
	}
	b.admin = admin.New(admin.Options{Config: b.config, Store: b.store, Logger: b.logger,
		Loggers: admin.NewLoggers(zerolog.SetGlobalLevel)})
	return nil
}

// openLogs claims the log directories for this broker of this cluster and loads what is in them.
func (b *Broker) openLogs(ctx context.Context) error {
	id, isNew, err := b.identity(ctx)
	if err != nil {
		return err
	}
	b.applier = admin.NewApplier(admin.ApplierOptions{Admin: b.admin, Topics: b.hostedTopics, OnTopic: b.topicChanged, Logger: b.logger})
	if err := b.applier.Load(ctx); err != nil {
		return fmt.Errorf("read dynamic settings: %w", err)
	}
	b.throttles = throttles(b.config.Current())
	topics, err := b.topicConfigs(ctx)
	if err != nil {
		return err
	}
	o, err := logOptions(b.config.Current())
	if err != nil {
		return err
	}
	o.Dirs, o.Identity, o.Logger = b.config.LogDirs(), id, b.logger
	o.TopicConfig = func(topic string) *log.Config { return topics[topic] }
	if !b.config.Standalone() {
		if o.Stray, err = admin.Strays(ctx, b.store, b.id()); err != nil {
			return err
		}
	}
	if b.logs, err = log.Open(o); err != nil {
		return err
	}
	b.later(func(context.Context) error { return b.logs.Close() })
	if !isNew {
		return nil
	}
	return b.adopt(ctx, id.ClusterID)
}

// identity is whose directories these are, and whether the store is new. That they carry another identity is for log.Open to say.
func (b *Broker) identity(ctx context.Context) (id log.Identity, isNew bool, err error) {
	if id, err = log.ReadIdentity(vfs.OS{}, b.config.LogDirs()); err != nil {
		return id, false, err
	}
	if id.ClusterID, isNew, err = b.clusterID(ctx, id.ClusterID); err != nil {
		return id, false, err
	}
	if b.config.ID() < 0 && id.BrokerID < 0 {
		reserved := cluster.BrokerID(b.config.Current().Int("reserved.broker.max.id"))
		next, err := b.store.NextBrokerID(ctx, reserved)
		if err != nil {
			return id, false, err
		}
		id.BrokerID = int32(next)
	}
	if b.config.ID() < 0 {
		b.config.SetID(id.BrokerID)
	}
	id.BrokerID = b.config.ID() // log.Open compares it with what the directories say
	return id, isNew, nil
}

// clusterID is the cluster's. A new embedded store takes over the one that the directories carry; it gets it when their topics are adopted.
func (b *Broker) clusterID(ctx context.Context, carried string) (id string, isNew bool, err error) {
	if !b.config.Standalone() {
		id, err = b.store.EnsureClusterID(ctx, protocol.NewTopicID().String())
		return id, false, err
	}
	id, err = b.store.ClusterID(ctx)
	if !errors.Is(err, metastore.ErrNoNode) {
		return id, false, err
	}
	if carried == "" {
		carried = protocol.NewTopicID().String()
	}
	return carried, true, nil
}

// topicConfigs reads the settings of all topics at once, since each is needed while logs are loaded.
func (b *Broker) topicConfigs(ctx context.Context) (map[string]*log.Config, error) {
	names, err := b.store.Topics(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	values, err := b.admin.TopicValues(ctx, names)
	if err != nil {
		b.logger.Error().Err(err).Msg("settings of topics are wrong, the broker's count instead")
	}
	configs := make(map[string]*log.Config, len(names))
	for i, v := range values {
		if v != nil {
			configs[names[i]] = v.LogConfig()
			throttleTopic(b.throttles, b.id(), names[i], v)
		}
	}
	return configs, nil
}

// makeReplicas makes what hosts partitions and the coordinators that live in some of them.
func (b *Broker) makeReplicas(ctx context.Context) error {
	v := b.config.Current()
	clusterID, err := b.store.ClusterID(ctx)
	if err != nil {
		return err
	}
	partitions, err := b.partitionsOf(ctx, cluster.OffsetsTopic, v.Int("offsets.topic.num.partitions"))
	if err != nil {
		return err
	}
	txnPartitions, err := b.partitionsOf(ctx, cluster.TransactionsTopic, v.Int("transaction.state.log.num.partitions"))
	if err != nil {
		return err
	}
	leadership := &leadership{announceFailure: b.announceFailure}
	o := replica.Options{
		BrokerID: cluster.BrokerID(b.config.ID()), ClusterID: clusterID, Logs: b.logs, Config: b.topicConfig,
		LagTimeMax:         v.Millis("replica.lag.time.max.ms"),
		LagMessagesMax:     v.Int64("replica.lag.max.messages"),
		CheckpointInterval: v.Millis("replica.high.watermark.checkpoint.interval.ms"),
		RackAware:          v.String("replica.selector.class") == rackAwareSelector,
		Syncing:            replica.Syncing(v.String("gokafka.isr.sync")),
		Throttles:          b.throttles,
		MovesAtOnce:        movesAtOnce(v),
		Listener:           leadership, Logger: b.logger,
	}
	b.chief = &chief{id: b.id(), dial: b.dialController}
	b.later(b.chief.close)
	if b.config.Standalone() {
		b.replicas = replica.New(o)
		b.thenClose(b.replicas.Close)
	} else {
		b.replicateWith(o)
	}
	b.admin.Image = b.replicas
	b.verification = &replica.Verification{Manager: b.replicas,
		Enabled: func() bool { return b.config.Current().Bool("transaction.partition.verification.enable") }}
	journal := &replica.Journal{Manager: b.replicas, Acks: int16(v.Int("offsets.commit.required.acks")), Verification: b.verification}
	b.groups = group.New(groupSettings(v, b.logger), journal, partitions)
	leadership.callers = append(b.makeTransactions(txnPartitions), b.chief)
	leadership.groups, leadership.txns = b.groups, b.txns
	return nil
}

// replicateWith makes replicas that follow other brokers, and tell the controller who is in sync.
func (b *Broker) replicateWith(o replica.Options) {
	v := b.config.Current()
	fetchers := replica.NewFetchers(replica.FetcherOptions{Dial: b.dialLeader, PerLeader: v.Int("num.replica.fetchers"),
		Backoff: v.Millis("replica.fetch.backoff.ms"), Throttle: b.throttles.Follower, Logger: b.logger})
	o.Fetchers, o.Proposer = fetchers, b.chief
	b.replicas = replica.New(o)
	b.thenClose(b.replicas.Close)
	b.thenClose(fetchers.Close)
}

// partitionsOf is how many partitions place the groups or transactional ids that are kept in a topic: those that it has, else those that
// it will have.
func (b *Broker) partitionsOf(ctx context.Context, topic string, planned int) (int32, error) {
	t, err := b.store.Topic(ctx, topic, nil)
	switch {
	case errors.Is(err, metastore.ErrNoNode):
		return int32(planned), nil
	case err != nil:
		return 0, fmt.Errorf("read topic %s: %w", topic, err)
	}
	return int32(len(t.Partitions)), nil
}

// topicConfig is a topic's settings for a log that is being made. Settings that are wrong are logged, and the broker's count. A store that
// fails is asked until it answers: the log would keep the broker's, and perhaps delete what the topic is to keep.
func (b *Broker) topicConfig(topic string) *log.Config {
	var values []*config.Values
	b.untilDone("settings of a topic cannot be read, trying again", func(ctx context.Context) (err error) {
		if values, err = b.admin.TopicValues(ctx, []string{topic}); values == nil {
			return err
		}
		if err != nil {
			b.logger.Error().Err(err).Str("topic", topic).Msg("settings of a topic are wrong, the broker's count instead")
		}
		return nil
	})
	if values == nil || values[0] == nil {
		return nil
	}
	throttleTopic(b.throttles, b.id(), topic, values[0])
	return values[0].LogConfig()
}

// bind takes the ports, so that they can be told to others, and answers nobody yet.
func (b *Broker) bind(ctx context.Context) (err error) {
	v := b.config.Current()
	limits, err := connectionLimits(v, b.config.Network())
	if err != nil {
		return err
	}
	b.server, err = New(ctx, Options{
		Listeners: listeners(v, b.config.Network()), ProtectedListener: protectedListener(b.config.Network()), Limits: limits,
		RequestBytesMax: int32(v.Int("socket.request.max.bytes")), QueuedBytesMax: v.Int64("queued.max.request.bytes"),
		Logger: b.logger,
	})
	return err
}

// serve lets clients in.
func (b *Broker) serve(context.Context) error {
	v := b.config.Current()
	b.server.Start(handlers.Table(handlers.Deps{
		Replicas:     b.replicas,
		Verification: b.verification,
		Markers:      b.markers,
		Fetch:        handlers.FetchOptions{BytesMax: v.Int("fetch.max.bytes"), SessionSlots: v.Int("max.incremental.fetch.session.cache.slots")},
		Own:          b.registration,
		ProducerIDs:  b.producerIDs,
		Directories:  b.logs,

		Config:            b.config,
		Admin:             b.admin,
		Controller:        control{b.controller, b.replicas},
		ForBrokers:        b.controller,
		Groups:            b.groups,
		Transactions:      b.txns,
		Image:             b.replicas,
		InternalTopics:    b.admin,
		LegacyOffsets:     b.store,
		OffsetMetadataMax: v.Int("offset.metadata.max.bytes"),
	}))
	b.later(b.stopServing)
	return nil
}

// answerPatience is how long a stopping broker lets requests that it has begun come to their answers.
const answerPatience = 2 * time.Second

// stopServing ends the coordinators first, so that members who wait in a rebalance are sent away at once; what waits for data or
// replicas has a moment to finish.
func (b *Broker) stopServing(ctx context.Context) error {
	b.groups.Close()
	b.txns.Close()
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	if err := b.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
