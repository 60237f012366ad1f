package server

import (
	"strconv"
	"strings"
	"time"

	"gokafka/cluster"
	"gokafka/cluster/config"
	"gokafka/cluster/replica"
)

// throttles are those of replication and of moves between directories, with the rates that are set.
func throttles(v *config.Values) replica.Throttles {
	window := func(samples, seconds string) replica.Window {
		return replica.Window{Samples: v.Int(samples), Length: time.Duration(v.Int(seconds)) * time.Second}
	}
	t := replica.NewThrottles(window("replication.quota.window.num", "replication.quota.window.size.seconds"),
		window("alter.log.dirs.replication.quota.window.num", "alter.log.dirs.replication.quota.window.size.seconds"))
	throttleRates(t, v)
	return t
}

func throttleRates(t replica.Throttles, v *config.Values) {
	t.Leader.SetRate(v.DynamicInt64("leader.replication.throttled.rate"))
	t.Follower.SetRate(v.DynamicInt64("follower.replication.throttled.rate"))
	t.Moves.SetRate(v.DynamicInt64("replica.alter.log.dirs.io.max.bytes.per.second"))
}

// movesAtOnce is how many replicas move between directories at a time; 0: it is not set.
func movesAtOnce(v *config.Values) int {
	const threads = "num.replica.alter.log.dirs.threads"
	if !v.Has(threads) {
		return 0
	}
	return v.Int(threads)
}

// throttleTopic sets which of a topic's partitions this broker throttles, as a leader and as a follower.
func throttleTopic(t replica.Throttles, id cluster.BrokerID, topic string, v *config.Values) {
	t.Leader.Cover(topic, throttledBy(id, v.List("leader.replication.throttled.replicas")))
	t.Follower.Cover(topic, throttledBy(id, v.List("follower.replication.throttled.replicas")))
}

// throttledBy reads a list of partition:broker pairs, whose form was checked when it was set; "*" stands for all.
func throttledBy(id cluster.BrokerID, list []string) (c replica.Covered) {
	own := strconv.Itoa(int(id))
	for _, pair := range list {
		partition, broker, _ := strings.Cut(pair, ":")
		if partition == "*" {
			return replica.Covered{All: true}
		}
		if n, err := strconv.ParseInt(partition, 10, 32); err == nil && broker == own {
			c.Partitions = append(c.Partitions, int32(n))
		}
	}
	return c
}
