package config

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLayers(t *testing.T) {
	b, err := Load(Sources{File: map[string]string{"log.segment.bytes": "2000", "log.retention.ms": "5"}})
	if err != nil {
		t.Fatal(err)
	}
	var heard []string
	b.Subscribe(func(old, new *Values) {
		heard = append(heard, format(int64(old.Int("log.segment.bytes")))+"→"+format(int64(new.Int("log.segment.bytes"))))
	})
	apply := func(f func(map[string]string) error, pairs ...string) {
		t.Helper()
		layer := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			layer[pairs[i]] = pairs[i+1]
		}
		if err := f(layer); err != nil {
			t.Fatal(err)
		}
	}
	apply(b.ApplyDefault, "log.segment.bytes", "3000")
	apply(b.ApplyBroker, "log.segment.bytes", "4000")
	apply(b.ApplyBroker, "log.segment.bytes", "4000") // nothing changed
	e := entry(t, b.DescribeBroker(nil), "log.segment.bytes")
	var sources []Source
	for _, s := range e.Synonyms {
		sources = append(sources, s.Source)
	}
	if *e.Value != "4000" || e.Source != DynamicBroker || len(sources) != 4 || sources[1] != DynamicDefaultBroker || sources[2] != StaticBroker || sources[3] != Default {
		t.Errorf("%+v from %v", *e.Value, sources)
	}
	apply(b.ApplyBroker)
	apply(b.ApplyDefault)
	if got := strings.Join(heard, " "); got != "2000→3000 3000→4000 4000→3000 3000→2000" {
		t.Errorf("heard %s", got)
	}
}

// What Apache Kafka 3.9 does not know is described as it does that, also if it has an effect here.
func TestOwnSettingsAreDescribedAsUnknown(t *testing.T) {
	b, err := Load(Sources{File: map[string]string{"replica.lag.max.messages": "4000", "no.such": "4000"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Current().Int64("replica.lag.max.messages"); got != 4000 {
		t.Errorf("%d", got)
	}
	own, unknown := entry(t, b.DescribeBroker(nil), "replica.lag.max.messages"), entry(t, b.DescribeBroker(nil), "no.such")
	unknown.Name, unknown.Synonyms[0].Name = own.Name, own.Name
	if !reflect.DeepEqual(own, unknown) {
		t.Errorf("%+v, and what is unknown is %+v", own, unknown)
	}
	if b, err = Load(Sources{}); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(b.DescribeBroker(nil), func(e Entry) bool { return e.Name == own.Name }) {
		t.Error("listed without having been set")
	}
}

func entry(t *testing.T, entries []Entry, name string) Entry {
	t.Helper()
	for _, e := range entries {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("%s is not described", name)
	return Entry{}
}

// A dynamic value in hours counts more than a static one in milliseconds.
func TestUnitsOfALaterLayer(t *testing.T) {
	b, err := Load(Sources{File: map[string]string{"log.roll.ms": "5"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Current().firstUnit("log.roll"); got != 5 {
		t.Errorf("%d", got)
	}
	next, err := b.parse(map[string]string{"log.roll.hours": "2"}, nil)
	if err != nil || next.firstUnit("log.roll") != 7_200_000 {
		t.Errorf("%v", err)
	}
}

func TestWrongLayersAreLeftOutInPart(t *testing.T) {
	b, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	err = b.ApplyDefault(map[string]string{
		"broker.id": "5", "listeners": "PLAINTEXT://:1", "ssl.keystore.location": "/x", "log.segment.bytes": "x", "log.roll.ms": "7", "my.own": "1",
	})
	for _, name := range []string{"broker.id", "listeners", "ssl.keystore.location", "log.segment.bytes"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not in %v", name, err)
		}
	}
	if v := b.Current(); v.Int64("log.roll.ms") != 7 || b.ID() != 1 || v.Given("listeners") || !v.Given("my.own") {
		t.Error("the right part of the layer does not count, or the wrong part does")
	}
	if err := b.ApplyBroker(map[string]string{"log.roll.ms": "0"}); err == nil || b.Current().Int64("log.roll.ms") != 7 {
		t.Errorf("%v", err)
	}
}

func TestTopicDefaultsComeFromTheBroker(t *testing.T) {
	b, err := Load(Sources{File: map[string]string{
		"log.retention.minutes": "2", "log.roll.hours": "3", "log.flush.scheduler.interval.ms": "9", "message.max.bytes": "77",
		"log.cleanup.policy": "compact, delete", "log.message.timestamp.difference.max.ms": "5", "log.message.timestamp.type": "LogAppendTime",
	}})
	if err != nil {
		t.Fatal(err)
	}
	topic, err := b.Current().TopicValues(map[string]string{"segment.bytes": "1000", "message.timestamp.after.max.ms": "6", "gone.setting": "1"})
	if err != nil {
		t.Fatal(err)
	}
	c := topic.LogConfig()
	if c.RetentionMs != 120_000 || c.SegmentMsMax != 3*3600_000 || c.FlushMs != 9 || c.Messages.BytesMax != 77 || !c.Compact || !c.Delete ||
		c.SegmentBytesMax != 1000 || c.Messages.TimestampBeforeMax != 5 || c.Messages.TimestampAfterMax != 6 || c.Messages.TimestampType == 0 || c.FlushMessages != math.MaxInt64 {
		t.Errorf("%+v", *c)
	}
}

func TestUnlimitedRetention(t *testing.T) {
	for _, setting := range []string{"log.retention.ms", "log.retention.minutes", "log.retention.hours"} {
		b, err := Load(Sources{File: map[string]string{setting: "-1"}})
		if err != nil {
			t.Fatal(err)
		}
		topic, err := b.Current().TopicValues(nil)
		if err != nil || topic.LogConfig().RetentionMs != -1 {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

func TestValuesPanicOnWrongNames(t *testing.T) {
	b, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a setting that does not exist was read")
		}
	}()
	b.Current().Int("no.such")
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		n          int64
		unit, want time.Duration
	}{
		{5, time.Millisecond, 5 * time.Millisecond},
		{-1, time.Second, -time.Second},
		{math.MaxInt32, time.Minute, math.MaxInt64},
		{math.MaxInt64, time.Millisecond, math.MaxInt64},
		{-math.MaxInt64, time.Millisecond, math.MinInt64},
	} {
		if got := duration(c.n, c.unit); got != c.want {
			t.Errorf("%d times %v is %v, want %v", c.n, c.unit, got, c.want)
		}
	}
}

// What would lock everybody out, or changes a number of threads too much, is refused with Apache's texts.
func TestChangesThatAreRefused(t *testing.T) {
	b, err := Load(Sources{File: map[string]string{
		"listeners": "A://:1,B://:2,CTL://:3", "listener.security.protocol.map": "A:PLAINTEXT,B:PLAINTEXT,CTL:PLAINTEXT",
		"inter.broker.listener.name": "A", "control.plane.listener.name": "CTL",
		"log.cleaner.threads": "4", "num.io.threads": "4", "num.network.threads": "4",
		"listener.name.a.max.connections": "5", "listener.name.ctl.max.connections": "5",
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ setting, value, want string }{
		{"max.connections", "0", "Invalid max.connections 0"},
		{"max.connections", "1", ""},
		{"max.connection.creation.rate", "0", "Invalid max.connection.creation.rate 0"},
		{"listener.name.b.max.connections", "0", "Invalid max.connections 0"},
		{"listener.name.ctl.max.connection.creation.rate", "0", "Invalid max.connection.creation.rate 0"},
		{"listener.name.gone.max.connections", "0", ""},
		{"log.cleaner.threads", "0", "Log cleaner threads should be at least 1"},
		{"log.cleaner.threads", "1", "Log cleaner threads cannot be reduced to less than half the current value 4"},
		{"log.cleaner.threads", "9", "Log cleaner threads cannot be increased to more than double the current value 4"},
		{"log.cleaner.threads", "8", ""},
		{"num.io.threads", "1", "Dynamic thread count update validation failed for num.io.threads=1, value should be at least half the current value 4"},
		{"num.network.threads", "9", "Dynamic thread count update validation failed for num.network.threads=9, value should not be greater than double the current value 4"},
		{"num.network.threads", "8", ""},
		{"listener.name.b.num.network.threads", "1", "Dynamic thread count update validation failed for num.network.threads=1, value should be at least half the current value 4"},
		{"listener.name.ctl.num.network.threads", "1", ""},
	} {
		err := b.Validate(map[string]string{c.setting: c.value}, false)
		want := "Invalid value org.apache.kafka.common.config.ConfigException: " + c.want + " for configuration Invalid dynamic configuration"
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%s=%s: %v, want %q", c.setting, c.value, err, c.want)
		}
	}
	if err := b.Validate(map[string]string{"max.connections": "0", "listener.name.b.max.connections": "5"}, false); err != nil {
		t.Errorf("no listener has the broker's limit for its own: %v", err)
	}
}

func TestNoThreadsOfACleanerThatIsOff(t *testing.T) {
	b, err := Load(Sources{File: map[string]string{"log.cleaner.enable": "false"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Validate(map[string]string{"log.cleaner.threads": "9"}, false); err != nil {
		t.Error(err)
	}
}
