package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/log"
)

// InvalidError says that topic settings do not exist or contradict each other. Its text is Apache's.
type InvalidError struct{ Message string }

// Error is the message.
func (e *InvalidError) Error() string { return e.Message }

// Unwrap makes it INVALID_CONFIG on the wire.
func (e *InvalidError) Unwrap() error { return kerr.InvalidConfig }

// topicSynonyms maps a topic setting to the broker setting that gives its default; where that has units, to the finest.
var topicSynonyms = map[string]string{
	"cleanup.policy":                      "log.cleanup.policy",
	"compression.gzip.level":              "compression.gzip.level",
	"compression.lz4.level":               "compression.lz4.level",
	"compression.type":                    "compression.type",
	"compression.zstd.level":              "compression.zstd.level",
	"delete.retention.ms":                 "log.cleaner.delete.retention.ms",
	"file.delete.delay.ms":                "log.segment.delete.delay.ms",
	"flush.messages":                      "log.flush.interval.messages",
	"flush.ms":                            "log.flush.interval.ms",
	"index.interval.bytes":                "log.index.interval.bytes",
	"local.retention.bytes":               "log.local.retention.bytes",
	"local.retention.ms":                  "log.local.retention.ms",
	"max.compaction.lag.ms":               "log.cleaner.max.compaction.lag.ms",
	"max.message.bytes":                   "message.max.bytes",
	"message.downconversion.enable":       "log.message.downconversion.enable",
	"message.format.version":              "log.message.format.version",
	"message.timestamp.after.max.ms":      "log.message.timestamp.after.max.ms",
	"message.timestamp.before.max.ms":     "log.message.timestamp.before.max.ms",
	"message.timestamp.difference.max.ms": "log.message.timestamp.difference.max.ms",
	"message.timestamp.type":              "log.message.timestamp.type",
	"min.cleanable.dirty.ratio":           "log.cleaner.min.cleanable.ratio",
	"min.compaction.lag.ms":               "log.cleaner.min.compaction.lag.ms",
	"min.insync.replicas":                 "min.insync.replicas",
	"preallocate":                         "log.preallocate",
	"retention.bytes":                     "log.retention.bytes",
	"retention.ms":                        "log.retention.ms",
	"segment.bytes":                       "log.segment.bytes",
	"segment.index.bytes":                 "log.index.size.max.bytes",
	"segment.jitter.ms":                   "log.roll.jitter.ms",
	"segment.ms":                          "log.roll.ms",
	"unclean.leader.election.enable":      "unclean.leader.election.enable",
}

// topicDefaults are the topic settings that the broker's give.
func (v *Values) topicDefaults() map[string]string {
	defaults := make(map[string]string, len(topicSynonyms))
	for topic, broker := range topicSynonyms {
		defaults[topic] = format(v.parsed[broker])
	}
	millis := func(n int64) string { return strconv.FormatInt(n, 10) }
	defaults["retention.ms"] = millis(v.logRetentionMillis())
	defaults["segment.ms"] = millis(v.firstUnit("log.roll"))
	defaults["segment.jitter.ms"] = millis(v.firstUnit("log.roll.jitter"))
	if !v.Has("log.flush.interval.ms") {
		defaults["flush.ms"] = millis(v.Int64("log.flush.scheduler.interval.ms"))
	}
	// With the inter-broker protocol at 3.0 or later the format is always the last one.
	defaults["message.format.version"] = topics["message.format.version"].Default
	return defaults
}

// TopicValues makes the settings of a topic: what is set for it over the broker's. Settings that do not exist are kept and not
// reported, since old ones may be stored; CheckTopic is stricter.
func (v *Values) TopicValues(set map[string]string) (*Values, error) {
	plain, err := v.topics()
	if err != nil {
		return nil, err
	}
	t, err := plain.with(set)
	if err != nil {
		return nil, err
	}
	return t, t.checkTopic()
}

func (v *Values) plainTopic() (*Values, error) { return parseValues(topics, v.topicDefaults(), nil) }

// CheckTopic checks the settings that someone wants for a topic.
func (v *Values) CheckTopic(set map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if topics[name] == nil {
			return &InvalidError{"Unknown topic config name: " + name}
		}
	}
	t, err := v.TopicValues(set)
	if err != nil {
		return err
	}
	if t.Bool("remote.log.delete.on.disable") || t.Bool("remote.log.copy.disable") {
		return &InvalidError{"It is invalid to set `remote.log.delete.on.disable` or `remote.log.copy.disable` under Zookeeper's mode."}
	}
	if t.Bool("remote.storage.enable") {
		return errors.New("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	return nil
}

func (v *Values) checkTopic() error {
	least, most := v.Int64("min.compaction.lag.ms"), v.Int64("max.compaction.lag.ms")
	if least > most {
		return &InvalidError{fmt.Sprintf("conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", least, most)}
	}
	return nil
}

// LogConfig makes the log's settings of topic values, as TopicValues gives them.
func (v *Values) LogConfig() *log.Config {
	policies := v.List("cleanup.policy")
	has := func(policy string) bool {
		return slices.ContainsFunc(policies, func(p string) bool { return strings.EqualFold(p, policy) })
	}
	return &log.Config{
		SegmentBytesMax:      v.Int("segment.bytes"),
		SegmentMsMax:         v.Int64("segment.ms"),
		SegmentJitterMs:      v.Int64("segment.jitter.ms"),
		IndexBytesMax:        v.Int("segment.index.bytes"),
		IndexIntervalBytes:   v.Int("index.interval.bytes"),
		FlushMessages:        v.Int64("flush.messages"),
		FlushMs:              v.Int64("flush.ms"),
		RetentionBytes:       v.Int64("retention.bytes"),
		RetentionMs:          v.Int64("retention.ms"),
		FileDeleteDelayMs:    v.Int64("file.delete.delay.ms"),
		Delete:               has("delete"),
		Compact:              has("compact"),
		Compaction:           v.compaction(),
		Messages:             v.messages(),
		UncleanElection:      v.Bool("unclean.leader.election.enable"),
		MinInSyncReplicas:    v.Int("min.insync.replicas"),
		Preallocate:          v.Bool("preallocate"),
		DownConversionEnable: v.Bool("message.downconversion.enable"),
	}
}

func (v *Values) compaction() log.Compaction {
	return log.Compaction{
		MinCleanableDirtyRatio: v.Float64("min.cleanable.dirty.ratio"),
		LagMsMin:               v.Int64("min.compaction.lag.ms"),
		LagMsMax:               v.Int64("max.compaction.lag.ms"),
		DeleteRetentionMs:      v.Int64("delete.retention.ms"),
	}
}

func (v *Values) messages() log.MessageConfig {
	m := log.MessageConfig{
		BytesMax:           v.Int("max.message.bytes"),
		CompressionType:    v.String("compression.type"),
		GzipLevel:          v.Int("compression.gzip.level"),
		LZ4Level:           v.Int("compression.lz4.level"),
		ZstdLevel:          v.Int("compression.zstd.level"),
		TimestampBeforeMax: v.timestampMax("before"),
		TimestampAfterMax:  v.timestampMax("after"),
	}
	if v.String("message.timestamp.type") == "LogAppendTime" {
		m.TimestampType = log.LogAppendTime
	}
	return m
}

// timestampMax is message.timestamp.<side>.max.ms; when that allows all, the deprecated setting that stood for both sides.
func (v *Values) timestampMax(side string) int64 {
	if n := v.Int64("message.timestamp." + side + ".max.ms"); n != math.MaxInt64 {
		return n
	}
	return v.Int64("message.timestamp.difference.max.ms")
}
