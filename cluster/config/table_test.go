package config

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// apacheKey is a line of testdata/configdef.apache.tsv, printed by Apache Kafka 3.9.2 of its own definitions.
type apacheKey struct {
	kind, name, kindOf, standard, allowed string
	internal                              bool
	scope                                 string
}

func apacheKeys(t *testing.T) []apacheKey {
	t.Helper()
	data, err := os.ReadFile("testdata/configdef.apache.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var keys []apacheKey
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		keys = append(keys, apacheKey{f[0], f[1], f[2], f[3], f[4], f[5] == "true", f[6]})
	}
	return keys
}

func TestTableIsApaches(t *testing.T) {
	scopes := map[string]Scope{"read-only": ReadOnly, "per-broker": PerBroker, "cluster-wide": ClusterWide}
	seen := map[string]int{}
	for _, a := range apacheKeys(t) {
		seen[a.kind]++
		keys := map[string]table{"broker": brokers, "topic": topics}[a.kind]
		k := keys[a.name]
		if k == nil {
			t.Errorf("%s setting %s is missing", a.kind, a.name)
			continue
		}
		if standard := strings.ReplaceAll(k.Default, null, "<null>"); k.Type.String() != a.kindOf || standard != a.standard || k.Internal != a.internal || k.Scope != scopes[a.scope] {
			t.Errorf("%s setting %s: %s %q internal %v scope %d, Apache has %+v", a.kind, a.name, k.Type, standard, k.Internal, k.Scope, a)
		}
		checkBounds(t, k, a.allowed)
	}
	if seen["broker"] != len(brokerKeys) || seen["topic"] != len(topicKeys) {
		t.Errorf("%d broker and %d topic settings, Apache has %v", len(brokerKeys), len(topicKeys), seen)
	}
}

var (
	rangePattern = regexp.MustCompile(`^\[(-?[0-9.]+),\.\.\.(?:,(-?[0-9.]+))?\]$`)
	choices      = regexp.MustCompile(`^\[([^.\]]*)\]$`)
)

// checkBounds tries the values at the edges of what Apache says that it allows.
func checkBounds(t *testing.T, k *Key, allowed string) {
	t.Helper()
	probe := func(text string, want bool) {
		if _, err := k.parse(text); (err == nil) != want {
			t.Errorf("%s=%s: %v, allowed are %s", k.Name, text, err, allowed)
		}
	}
	if m := rangePattern.FindStringSubmatch(allowed); m != nil {
		low, _ := strconv.ParseFloat(m[1], 64)
		probe(m[1], true)
		probe(fmt.Sprint(low-1), false)
		if m[2] != "" {
			high, _ := strconv.ParseFloat(m[2], 64)
			probe(m[2], true)
			probe(fmt.Sprint(high+1), false)
		}
	} else if m := choices.FindStringSubmatch(allowed); m != nil {
		for _, c := range strings.Split(m[1], ", ") {
			probe(c, true)
		}
		probe("no such choice", false)
	} else if strings.HasPrefix(allowed, "[0.8.0") {
		for _, v := range strings.Split(strings.Trim(allowed, "[]"), ", ") {
			probe(v, true)
		}
		probe("0.7", false)
		probe("3.9-IV9", false)
		probe("3.9.2", true)
	} else if allowed != "" && !strings.Contains(k.Name, "remote.log") && !strings.Contains(k.Name, "quorum") && k.Check == nil && k.Default == null {
		t.Errorf("%s: nothing checks %s", k.Name, allowed)
	}
}

func TestParseErrorsAreApaches(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"broker.id", "x", "Invalid value x for configuration broker.id: Not a number of type INT"},
		{"broker.id", "3000000000", "Invalid value 3000000000 for configuration broker.id: Not a number of type INT"},
		{"offsets.topic.replication.factor", "40000", "Invalid value 40000 for configuration offsets.topic.replication.factor: Not a number of type SHORT"},
		{"log.preallocate", "1", "Invalid value 1 for configuration log.preallocate: Expected value to be either true or false"},
		{"log.cleaner.min.cleanable.ratio", "2", "Invalid value 2.0 for configuration log.cleaner.min.cleanable.ratio: Value must be no more than 1"},
		{"num.partitions", "0", "Invalid value 0 for configuration num.partitions: Value must be at least 1"},
		{"compression.gzip.level", "10", "Invalid value 10 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"},
		{"remote.log.manager.copier.thread.pool.size", "0", "Invalid value 0 for configuration remote.log.manager.copier.thread.pool.size: Value can be -1 or greater than 0"},
		{"controller.quorum.voters", "a@b:1", "Invalid value a@b:1 for configuration controller.quorum.voters: Failed to parse voter ID as an integer from a"},
		{"controller.quorum.bootstrap.servers", "b", "Invalid value b for configuration controller.quorum.bootstrap.servers: Failed to parse host name and port: b"},
	} {
		if _, err := brokers[c.name].parse(c.value); err == nil || err.Error() != c.want {
			t.Errorf("%s=%s: %v, want %s", c.name, c.value, err, c.want)
		}
	}
}

func TestSecretsAreNotInErrors(t *testing.T) {
	k := &Key{Name: "p", Type: Password, Check: nonEmpty}
	if _, err := k.parse(""); err == nil || !strings.Contains(err.Error(), Hidden) {
		t.Errorf("got %v", err)
	}
}

// Doubles as Java printed them.
func TestFormatDouble(t *testing.T) {
	for f, want := range map[float64]string{
		0.5: "0.5", 0.05: "0.05", 1: "1.0", 100: "100.0", 1e7: "1.0E7", 12345678.9: "1.23456789E7", 0.001: "0.001", 0.00099: "9.9E-4",
		1e-5: "1.0E-5", 1.7976931348623157e308: "1.7976931348623157E308", 3e10: "3.0E10", 0.30000000000000004: "0.30000000000000004", 0: "0.0", -2.5: "-2.5",
	} {
		if got := formatDouble(f); got != want {
			t.Errorf("%g: %s, Java prints %s", f, got, want)
		}
	}
}
