package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// storeFile is the embedded store's file in the first log directory. Apache's brokers ignore files that they do not know there.
const storeFile = "metastore.db"

// rackAwareSelector is the replica.selector.class that sends consumers to replicas in their rack, by its name in Apache Kafka. Others
// are code that only a JVM could load.
const rackAwareSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"

// metadataPatience bounds how long a starting broker waits until it sees itself in the cluster.
const metadataPatience = 30 * time.Second

// Broker is one gokafka node: all its parts, made and started in order, and stopped in reverse.
type Broker struct {
	config *config.Broker
	logger zerolog.Logger

	tree         *metastore.Embedded
	session      *metastore.Session
	store        *metastore.Store
	logs         *log.Manager
	replicas     *replica.Manager
	groups       *group.Coordinator
	admin        *admin.Admin
	applier      *admin.Applier
	registration *metastore.Registration
	controller   *controller.Controller
	server       *Server

	undo []func(context.Context) error // what Shutdown does, last first
}

// NewBroker returns a broker that does nothing yet.
func NewBroker(c *config.Broker, logger zerolog.Logger) *Broker {
	return &Broker{config: c, logger: logger}
}

// Start brings the broker up: when it returns, clients are answered. When it fails, what was started is stopped again.
func (b *Broker) Start(ctx context.Context) error {
	began := time.Now()
	for _, w := range b.config.Warnings() {
		b.logger.Warn().Msg(w)
	}
	steps := []func(context.Context) error{b.openStore, b.openLogs, b.makeReplicas, b.bind, b.join, b.serve}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return errors.Join(err, b.Shutdown(context.WithoutCancel(ctx)))
		}
	}
	b.logger.Info().Int32("broker", b.config.ID()).Strs("listeners", b.addresses()).Strs("data", b.config.LogDirs()).
		Dur("after", time.Since(began)).Msg("gokafka answers")
	return nil
}

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

// openStore opens the embedded store and gives the broker its id.
func (b *Broker) openStore(ctx context.Context) (err error) {
	if !b.config.Standalone() {
		return errors.New("zookeeper.connect is set, but clusters are not supported yet: remove it to run alone")
	}
	dir := b.config.LogDirs()[0]
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make log directory: %w", err)
	}
	if b.tree, err = metastore.OpenEmbedded(filepath.Join(dir, storeFile)); err != nil {
		return err
	}
	b.later(func(context.Context) error { return b.tree.Close() })
	b.session = b.tree.Connect()
	b.later(func(context.Context) error { return b.session.Close() })
	b.store = metastore.New(b.session)
	if err := b.store.CreatePersistentPaths(ctx); err != nil {
		return err
	}
	b.admin = admin.New(admin.Options{Config: b.config, Store: b.store, Logger: b.logger,
		Loggers: admin.NewLoggers(zerolog.SetGlobalLevel)})
	return nil
}

// openLogs claims the log directories for this broker of this cluster and loads what is in them.
func (b *Broker) openLogs(ctx context.Context) error {
	id, err := b.identity(ctx)
	if err != nil {
		return err
	}
	b.applier = admin.NewApplier(admin.ApplierOptions{Admin: b.admin, Topics: b.hostedTopics, OnTopic: b.topicChanged, Logger: b.logger})
	if err := b.applier.Load(ctx); err != nil {
		return fmt.Errorf("read dynamic settings: %w", err)
	}
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
	if b.logs, err = log.Open(o); err != nil {
		return err
	}
	b.later(func(context.Context) error { return b.logs.Close() })
	return b.adopt(ctx)
}

// identity is whose directories these are. A store that is new takes over the cluster id that they carry.
func (b *Broker) identity(ctx context.Context) (log.Identity, error) {
	id, err := log.ReadIdentity(vfs.OS{}, b.config.LogDirs())
	if err != nil {
		return id, err
	}
	proposed := id.ClusterID
	if proposed == "" {
		proposed = protocol.NewTopicID().String()
	}
	if id.ClusterID, err = b.store.EnsureClusterID(ctx, proposed); err != nil {
		return id, err
	}
	if b.config.ID() < 0 && id.BrokerID < 0 {
		reserved := cluster.BrokerID(b.config.Current().Int("reserved.broker.max.id"))
		next, err := b.store.NextBrokerID(ctx, reserved)
		if err != nil {
			return id, err
		}
		id.BrokerID = int32(next)
	}
	if b.config.ID() < 0 {
		b.config.SetID(id.BrokerID)
	}
	id.BrokerID = b.config.ID() // log.Open compares it with what the directories say
	return id, nil
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
	partitions, err := b.offsetsPartitions(ctx)
	if err != nil {
		return err
	}
	leadership := &leadership{}
	b.replicas = replica.New(replica.Options{
		BrokerID: cluster.BrokerID(b.config.ID()), ClusterID: clusterID, Logs: b.logs, Config: b.topicConfig,
		LagTimeMax:         v.Millis("replica.lag.time.max.ms"),
		CheckpointInterval: v.Millis("replica.high.watermark.checkpoint.interval.ms"),
		RackAware:          v.String("replica.selector.class") == rackAwareSelector,
		Listener:           leadership, Logger: b.logger,
	})
	b.thenClose(b.replicas.Close)
	b.admin.Image = b.replicas
	journal := &replica.Journal{Manager: b.replicas, Acks: int16(v.Int("offsets.commit.required.acks"))}
	b.groups = group.New(groupSettings(v, b.logger), journal, partitions)
	leadership.groups = b.groups
	return nil
}

// offsetsPartitions is how many partitions place the groups: those that the topic has, else those that it will have.
func (b *Broker) offsetsPartitions(ctx context.Context) (int32, error) {
	t, err := b.store.Topic(ctx, cluster.OffsetsTopic, nil)
	switch {
	case errors.Is(err, metastore.ErrNoNode):
		return int32(b.config.Current().Int("offsets.topic.num.partitions")), nil
	case err != nil:
		return 0, fmt.Errorf("read topic %s: %w", cluster.OffsetsTopic, err)
	}
	return int32(len(t.Partitions)), nil
}

// topicConfig is a topic's settings for a log that is being made. Settings that cannot be read are logged, and the broker's count.
func (b *Broker) topicConfig(topic string) *log.Config {
	values, err := b.admin.TopicValues(context.Background(), []string{topic})
	if err != nil || values[0] == nil {
		b.logger.Error().Err(err).Str("topic", topic).Msg("settings of a topic are wrong, the broker's count instead")
		return nil
	}
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

// join registers the broker, takes part in the election of a controller, and waits until the controller has told it of itself.
func (b *Broker) join(ctx context.Context) error {
	v := b.config.Current()
	id := cluster.BrokerID(b.config.ID())
	b.registration = b.store.NewRegistration(cluster.Broker{ID: id, Rack: v.String("broker.rack"), Endpoints: b.advertised()})
	if _, err := b.registration.Register(ctx); err != nil {
		return fmt.Errorf("register broker: %w", err)
	}
	b.later(func(ctx context.Context) error { return b.store.DeregisterBroker(ctx, id) })
	b.controller = controller.New(controller.Options{
		ID: id, Store: b.store, Registration: b.registration, Config: controllerConfig(v), Logger: b.logger,
		Dial: func(cluster.Broker) controller.Peer { return direct{b.replicas} },
	})
	b.admin.Controller = b.controller
	b.controller.Start()
	b.thenClose(b.controller.Stop)
	b.config.Subscribe(b.settingsChanged)
	b.applier.Start()
	b.thenClose(b.applier.Stop)

	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	topics, err := b.store.Topics(ctx, nil)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	told := func(m *cluster.Metadata) bool { return m.Broker(id) != nil && knowsAll(m, topics) }
	if err := b.replicas.AwaitMetadata(ctx, told); err != nil {
		return fmt.Errorf("wait to be told of the cluster by the controller: %w", err)
	}
	return nil
}

// knowsAll reports whether the image has every topic. One that is being deleted is missing from it for good, which is why the
// wait for this ends by time as well.
func knowsAll(m *cluster.Metadata, topics []string) bool {
	for _, t := range topics {
		if m.Topic(t) == nil {
			return false
		}
	}
	return true
}

// serve lets clients in.
func (b *Broker) serve(context.Context) error {
	v := b.config.Current()
	b.server.Start(handlers.Table(handlers.Deps{
		Replicas:    b.replicas,
		Fetch:       handlers.FetchOptions{BytesMax: v.Int("fetch.max.bytes"), SessionSlots: v.Int("max.incremental.fetch.session.cache.slots")},
		ProducerIDs: txn.NewProducerIDs(&producerIDBlocks{controller: b.controller, registration: b.registration, id: cluster.BrokerID(b.config.ID())}),
		Directories: b.logs,

		Config:            b.config,
		Admin:             b.admin,
		Controller:        control{b.controller, b.replicas},
		Groups:            b.groups,
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

// stopServing ends the groups first, so that members who wait in a rebalance are sent away at once; what waits for data or
// replicas has a moment to finish.
func (b *Broker) stopServing(ctx context.Context) error {
	b.groups.Close()
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	if err := b.server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
