package server

import (
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster/config"
	"gokafka/cluster/controller"
	"gokafka/cluster/group"
	"gokafka/cluster/txn"
	"gokafka/log"
	"gokafka/protocol"
)

// This file turns the broker's settings into what each part takes.

func logOptions(v *config.Values) (log.ManagerOptions, error) {
	defaults, err := v.TopicValues(nil)
	if err != nil {
		return log.ManagerOptions{}, fmt.Errorf("defaults of topics: %w", err)
	}
	return log.ManagerOptions{
		Defaults:               defaults.LogConfig(),
		RecoveryThreadsPerDir:  v.Int("num.recovery.threads.per.data.dir"),
		InitialDelay:           v.Millis("log.initial.task.delay.ms"),
		RetentionInterval:      v.Millis("log.retention.check.interval.ms"),
		FlushInterval:          v.Millis("log.flush.scheduler.interval.ms"),
		CheckpointInterval:     v.Millis("log.flush.offset.checkpoint.interval.ms"),
		ProducerIDExpiration:   v.Millis("producer.id.expiration.ms"),
		ProducerExpiryInterval: v.Millis("producer.id.expiration.check.interval.ms"),
		Cleaner:                cleanerOptions(v),
		ReserveBytes:           v.Int64("gokafka.disk.reserve.bytes"),
	}, nil
}

func cleanerOptions(v *config.Values) log.CleanerOptions {
	return log.CleanerOptions{
		Disabled:       !v.Bool("log.cleaner.enable"),
		Threads:        v.Int("log.cleaner.threads"),
		DedupeBytes:    v.Int64("log.cleaner.dedupe.buffer.size"),
		LoadFactor:     v.Float64("log.cleaner.io.buffer.load.factor"),
		BytesPerSecond: v.Float64("log.cleaner.io.max.bytes.per.second"),
		Backoff:        v.Millis("log.cleaner.backoff.ms"),
	}
}

func groupSettings(v *config.Values, logger zerolog.Logger) group.Settings {
	s := group.DefaultSettings()
	s.SessionTimeoutMin = v.Millis("group.min.session.timeout.ms")
	s.SessionTimeoutMax = v.Millis("group.max.session.timeout.ms")
	s.SizeMax = v.Int("group.max.size")
	s.InitialRebalanceDelay = v.Millis("group.initial.rebalance.delay.ms")
	s.OffsetMetadataMax = v.Int("offset.metadata.max.bytes")
	s.OffsetsRetention = v.Minutes("offsets.retention.minutes")
	s.RetentionCheckInterval = v.Millis("offsets.retention.check.interval.ms")
	s.CommitTimeout = v.Millis("offsets.commit.timeout.ms")
	s.LoadBytes = v.Int("offsets.load.buffer.size")
	s.Compression = protocol.Compression{Codec: protocol.Codec(v.Int("offsets.topic.compression.codec"))}
	s.Logger = logger
	return s
}

func txnSettings(v *config.Values, logger zerolog.Logger) txn.Settings {
	return txn.Settings{
		TimeoutMax:         v.Millis("transaction.max.timeout.ms"),
		AbortInterval:      v.Millis("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
		IDExpiration:       v.Millis("transactional.id.expiration.ms"),
		ExpirationInterval: v.Millis("transaction.remove.expired.transaction.cleanup.interval.ms"),
		LoadBytes:          v.Int("transaction.state.log.load.buffer.size"),
		RequestTimeout:     v.Millis("request.timeout.ms"),
		Logger:             logger,
	}
}

func controllerConfig(v *config.Values) controller.Config {
	return controller.Config{
		DeleteTopicEnable:                  v.Bool("delete.topic.enable"),
		AutoLeaderRebalanceEnable:          v.Bool("auto.leader.rebalance.enable"),
		LeaderImbalanceCheckInterval:       v.Seconds("leader.imbalance.check.interval.seconds"),
		LeaderImbalancePerBrokerPercentage: v.Int("leader.imbalance.per.broker.percentage"),
		UncleanLeaderElectionEnable:        v.Bool("unclean.leader.election.enable"),
	}
}

// times is how long n pauses take; what exceeds a Duration is its maximum.
func times(n int, pause time.Duration) time.Duration {
	if n > 0 && pause > math.MaxInt64/time.Duration(n) {
		return math.MaxInt64
	}
	return time.Duration(n) * pause
}

func listeners(v *config.Values, n *config.Network) []Listener {
	var all []Listener
	for _, e := range n.Listeners {
		all = append(all, Listener{
			Name: e.Listener, Address: net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))),
			SendBufferBytes:    bufferBytes(v, "socket.send.buffer.bytes"),
			ReceiveBufferBytes: bufferBytes(v, "socket.receive.buffer.bytes"),
			Backlog:            v.Int("socket.listen.backlog.size"),
		})
	}
	return all
}

// bufferBytes is the size of a socket's buffer, -1 for what the system finds right, which is also what is best where nobody has said anything:
// with Apache's default of 100 KiB a request of some 64 KiB batches comes in pieces, each of which wakes the broker, and so goes an answer
// to a consumer. An answer of 3 MiB took 7.5 ms with it, 5.3 without, and a third more processor time.
func bufferBytes(v *config.Values, name string) int {
	if !v.Given(name) {
		return -1
	}
	return v.Int(name)
}

// protectedListener is the brokers' own, if clients have another.
func protectedListener(n *config.Network) string {
	if len(n.Listeners) > 1 {
		return n.InterBroker
	}
	return ""
}

// connectionLimits gives each listener limits of its own, which are the broker's where it has none: as in Apache, the protected
// listener is held to those by itself, though its connections never wait for places that others take.
func connectionLimits(v *config.Values, n *config.Network) (Limits, error) {
	overrides, err := perIPOverrides(v)
	if err != nil {
		return Limits{}, err
	}
	l := Limits{
		ConnectionsMax:            v.Int("max.connections"),
		ConnectionsPerIPMax:       v.Int("max.connections.per.ip"),
		ConnectionsPerIPOverrides: overrides,
		ConnectionRateMax:         v.Int("max.connection.creation.rate"),
		IdleMax:                   v.Millis("connections.max.idle.ms"),
		Listeners:                 map[string]ListenerLimits{},
	}
	for _, e := range n.Listeners {
		own, err := v.ForListener(e.Listener)
		if err != nil {
			return Limits{}, err
		}
		l.Listeners[e.Listener] = ListenerLimits{ConnectionsMax: own.Int("max.connections"), ConnectionRateMax: own.Int("max.connection.creation.rate")}
	}
	return l, nil
}

// perIPOverrides resolves the names in max.connections.per.ip.overrides: one counts for the addresses that it has now.
func perIPOverrides(v *config.Values) (map[netip.Addr]int, error) {
	limits, err := v.ConnectionsPerIP()
	if err != nil {
		return nil, err
	}
	overrides := map[netip.Addr]int{}
	for _, host := range slices.Sorted(maps.Keys(limits)) {
		ips, err := net.LookupIP(host)
		if err != nil {
			return nil, fmt.Errorf("max.connections.per.ip.overrides: %w", err)
		}
		for _, ip := range ips {
			if addr, ok := netip.AddrFromSlice(ip); ok {
				overrides[addr.Unmap()] = limits[host]
			}
		}
	}
	return overrides, nil
}
