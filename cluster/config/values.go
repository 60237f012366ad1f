package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gokafka/cluster"
)

// Values is an immutable set of settings, parsed and checked. Its accessors take names from the table; a name that is not
// there, or an accessor of another type, is a mistake of the program and panics.
type Values struct {
	keys     table
	defaults map[string]string // stand before the table's own
	given    map[string]string // what was set, as it was written; may hold names that the table does not know
	parsed   map[string]any    // nil: no value

	// topics is what a topic has that sets nothing, parsed when it is first asked for: there may be ten thousand of them.
	topics func() (*Values, error)
}

// parseValues parses what was given over the defaults. The error joins one *ValueError per malformed setting.
func parseValues(keys table, defaults, given map[string]string) (*Values, error) {
	v := &Values{keys: keys, defaults: defaults, given: given, parsed: make(map[string]any, len(keys))}
	v.topics = sync.OnceValues(v.plainTopic)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		text, ok := given[name]
		if !ok {
			text = v.defaultOf(name)
		}
		if err := v.parse(name, text); err != nil {
			errs = append(errs, err)
		}
	}
	return v, errors.Join(errs...)
}

func (v *Values) parse(name, text string) error {
	if text == null {
		return nil
	}
	value, err := v.keys[name].parse(text)
	if err == nil {
		v.parsed[name] = value
	}
	return err
}

// with returns the values with settings laid over those that were not given. The error joins one per malformed setting.
func (v *Values) with(given map[string]string) (*Values, error) {
	next := &Values{keys: v.keys, defaults: v.defaults, given: given, parsed: maps.Clone(v.parsed)}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if v.keys[name] == nil {
			continue
		}
		if err := next.parse(name, given[name]); err != nil {
			errs = append(errs, err)
		}
	}
	return next, errors.Join(errs...)
}

func (v *Values) defaultOf(name string) string {
	if d, ok := v.defaults[name]; ok {
		return d
	}
	return v.keys[name].Default
}

// Given reports whether the setting was set, to whatever value.
func (v *Values) Given(name string) bool {
	_, ok := v.given[name]
	return ok
}

// Has reports whether the setting has a value: its own or a default.
func (v *Values) Has(name string) bool { return v.value(name) != nil }

func (v *Values) value(name string) any {
	if v.keys[name] == nil {
		panic(fmt.Sprintf("config: no setting %q", name))
	}
	return v.parsed[name]
}

// Bool is the value of a boolean setting.
func (v *Values) Bool(name string) bool { return v.value(name).(bool) }

// Int is the value of an int or short setting.
func (v *Values) Int(name string) int { return int(v.value(name).(int64)) }

// Int64 is the value of an int, short or long setting.
func (v *Values) Int64(name string) int64 { return v.value(name).(int64) }

// Float64 is the value of a double setting.
func (v *Values) Float64(name string) float64 { return v.value(name).(float64) }

// String is the value of a string, class or password setting; empty when it has none.
func (v *Values) String(name string) string {
	s, _ := v.value(name).(string)
	return s
}

// DynamicInt64 is the value of a setting that only a dynamic layer may have, whose form was checked there.
func (v *Values) DynamicInt64(name string) int64 {
	k := dynamicOnly[name]
	if k == nil {
		panic(fmt.Sprintf("config: no dynamic setting %q", name))
	}
	for _, text := range []string{v.given[name], k.Default} {
		if n, err := k.parse(text); err == nil {
			return n.(int64)
		}
	}
	return 0
}

// List is the value of a list setting; nil when it is empty.
func (v *Values) List(name string) []string {
	list, _ := v.value(name).([]string)
	return list
}

// Millis is the value of a setting in milliseconds; what exceeds a Duration is its maximum, or its minimum.
func (v *Values) Millis(name string) time.Duration { return duration(v.Int64(name), time.Millisecond) }

// Seconds is Millis for a setting in seconds.
func (v *Values) Seconds(name string) time.Duration { return duration(v.Int64(name), time.Second) }

// Minutes is Millis for a setting in minutes.
func (v *Values) Minutes(name string) time.Duration { return duration(v.Int64(name), time.Minute) }

func duration(n int64, unit time.Duration) time.Duration {
	switch most := math.MaxInt64 / int64(unit); {
	case n > most:
		return math.MaxInt64
	case n < -most:
		return math.MinInt64
	}
	return time.Duration(n) * unit
}

// ProtocolVersion is inter.broker.protocol.version; a release without an internal version means its last.
func (v *Values) ProtocolVersion() cluster.ProtocolVersion {
	text := v.String("inter.broker.protocol.version")
	release, _ := releaseOf(text)
	p := cluster.ProtocolVersion{Internal: max(0, releases[release]-1)}
	_, _ = fmt.Sscanf(release, "%d.%d", &p.Major, &p.Minor) // its form was checked
	if _, internal, ok := strings.Cut(text, "-IV"); ok {
		p.Internal, _ = strconv.Atoi(internal)
	}
	return p
}

// ForListener returns the values that hold for one listener: listener.name.<listener>.<setting> stands before <setting>.
func (v *Values) ForListener(listener string) (*Values, error) {
	prefix := listenerPrefix + strings.ToLower(listener) + "."
	given := maps.Clone(v.given)
	for name, text := range v.given {
		if setting, ok := strings.CutPrefix(name, prefix); ok {
			given[setting] = text
		}
	}
	return parseValues(v.keys, v.defaults, given)
}

// ListenerMechanism is the value of a setting for one listener and SASL mechanism, such as sasl.jaas.config: the most specific
// of listener.name.<listener>.<mechanism>.<setting>, <mechanism>.<setting> and <setting>. Empty when none is set.
func (v *Values) ListenerMechanism(listener, mechanism, setting string) string {
	mechanism = strings.ToLower(mechanism) + "."
	prefix := listenerPrefix + strings.ToLower(listener) + "."
	for _, name := range []string{prefix + mechanism + setting, mechanism + setting, prefix + setting, setting} {
		if text, ok := v.given[name]; ok {
			return trim(text)
		}
	}
	return ""
}

var hostPattern = regexp.MustCompile(`^([0-9a-zA-Z\-%._]*|\[?[0-9a-fA-F:.]*\]?)$`)

// ConnectionsPerIP reads max.connections.per.ip.overrides: the limit by host name or address.
func (v *Values) ConnectionsPerIP() (map[string]int, error) {
	const name = "max.connections.per.ip.overrides"
	limits := map[string]int{}
	entries, err := pairs(name, v.String("max.connections.per.ip.overrides"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		host := strings.Trim(e.name, "[]")
		if _, err := netip.ParseAddr(host); err != nil && !hostPattern.MatchString(host) {
			return nil, fmt.Errorf("%s contains invalid addresses : %s", name, host)
		}
		n, err := strconv.Atoi(e.value)
		if err != nil {
			return nil, fmt.Errorf("Error parsing configuration property '%s': %q is no number", name, e.value)
		}
		limits[host] = n
	}
	return limits, nil
}

// logDirs are the directories of the logs. When log.dirs is set to nothing there are none, as in Apache.
func (v *Values) logDirs() []string {
	if v.Has("log.dirs") {
		return csvList(v.String("log.dirs"))
	}
	return csvList(v.String("log.dir"))
}

// logRetentionMillis is log.retention.ms, .minutes or .hours, whichever is set first in this order; -1 for no limit.
func (v *Values) logRetentionMillis() int64 {
	ms := v.firstUnit("log.retention")
	if ms < 0 {
		return -1
	}
	return ms
}

// firstUnit is prefix.ms, or prefix.minutes or prefix.hours turned into milliseconds.
func (v *Values) firstUnit(prefix string) int64 {
	for _, unit := range []struct {
		suffix string
		millis int64
	}{{".ms", 1}, {".minutes", 60_000}, {".hours", 3_600_000}} {
		if name := prefix + unit.suffix; v.keys[name] != nil && v.Has(name) {
			return v.Int64(name) * unit.millis
		}
	}
	return 0
}
