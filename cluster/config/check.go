package config

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// check says why a parsed value is not allowed; nil when it is. The texts are Apache's.
type check func(name string, v any) *flaw

// flaw is what is wrong with a value: the part of it that is shown, and the reason.
type flaw struct{ shown, reason string }

func flawed(v any, reason string) *flaw { return &flaw{shown: format(v), reason: reason} }

func number(v any) float64 {
	if n, ok := v.(int64); ok {
		return float64(n)
	}
	f, _ := v.(float64)
	return f
}

func atLeast(min float64) check {
	return func(_ string, v any) *flaw {
		if number(v) < min {
			return flawed(v, "Value must be at least "+strconv.FormatFloat(min, 'f', -1, 64))
		}
		return nil
	}
}

func between(min, max float64) check {
	low := atLeast(min)
	return func(name string, v any) *flaw {
		if f := low(name, v); f != nil {
			return f
		}
		if number(v) > max {
			return flawed(v, "Value must be no more than "+strconv.FormatFloat(max, 'f', -1, 64))
		}
		return nil
	}
}

// gzipLevel allows 1 to 9 and -1, which leaves the choice to the codec.
func gzipLevel(_ string, v any) *flaw {
	if n := number(v); n > 9 || n < 1 && n != -1 {
		return flawed(v, "Value must be between 1 and 9 or equal to -1")
	}
	return nil
}

// poolSize allows a positive number and -1, which means that another setting decides.
func poolSize(_ string, v any) *flaw {
	if n := number(v); n < -1 || n == 0 {
		return flawed(v, "Value can be -1 or greater than 0")
	}
	return nil
}

func nonEmpty(_ string, v any) *flaw {
	if v == "" {
		return flawed(v, "String must be non-empty")
	}
	return nil
}

func oneOf(allowed ...string) check {
	return func(_ string, v any) *flaw {
		if !slices.Contains(allowed, v.(string)) {
			return flawed(v, "String must be one of: "+strings.Join(allowed, ", "))
		}
		return nil
	}
}

func oneOfFold(allowed ...string) check {
	return func(_ string, v any) *flaw {
		if !slices.Contains(allowed, strings.ToUpper(v.(string))) {
			return flawed(v, "String must be one of (case insensitive): "+strings.Join(allowed, ", "))
		}
		return nil
	}
}

func listOf(allowed ...string) check {
	one := oneOf(allowed...)
	return func(name string, v any) *flaw {
		for _, s := range v.([]string) {
			if f := one(name, s); f != nil {
				return f
			}
		}
		return nil
	}
}

var replicaPattern = regexp.MustCompile(`^([0-9]+:[0-9]+)?$`)

// throttledReplicas allows "*" and partition:broker pairs.
func throttledReplicas(name string, v any) *flaw {
	list := v.([]string)
	matches := !slices.ContainsFunc(list, func(s string) bool { return !replicaPattern.MatchString(s) })
	if matches || strings.Join(list, "") == "*" {
		return nil
	}
	return flawed("["+strings.Join(list, ", ")+"]",
		name+" must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...")
}

// metadataVersion allows every release that an inter-broker protocol was named after, with or without its -IV suffix.
func metadataVersion(_ string, v any) *flaw {
	if _, ok := releaseOf(v.(string)); !ok {
		return flawed(v, "Version "+v.(string)+" is not a valid version")
	}
	return nil
}

// releases are Kafka's protocol versions: the release, and how many internal versions it had (0: it is named without -IV).
var releases = map[string]int{
	"0.8.0": 0, "0.8.1": 0, "0.8.2": 0, "0.9.0": 0, "0.10.0": 2, "0.10.1": 3, "0.10.2": 1, "0.11.0": 3,
	"1.0": 1, "1.1": 1, "2.0": 2, "2.1": 3, "2.2": 2, "2.3": 2, "2.4": 2, "2.5": 1, "2.6": 1, "2.7": 3, "2.8": 2,
	"3.0": 2, "3.1": 1, "3.2": 1, "3.3": 4, "3.4": 1, "3.5": 3, "3.6": 3, "3.7": 5, "3.8": 1, "3.9": 1, "4.0": 2,
}

// releaseOf resolves what Apache accepts as a protocol version ("3.9", "3.9.2", "3.9-IV0") to the release it belongs to.
func releaseOf(version string) (release string, ok bool) {
	base, internal, hasInternal := strings.Cut(version, "-IV")
	segments := strings.Split(base, ".")
	keep := 2
	if segments[0] == "0" {
		keep = 3
	}
	if len(segments) < keep {
		return "", false
	}
	release = strings.Join(segments[:keep], ".")
	count, known := releases[release]
	if !known || !hasInternal {
		return release, known
	}
	n, err := strconv.Atoi(internal)
	return release, err == nil && n >= 0 && n < count && base == release
}

// hostPorts allows a list of host:port, as Kafka's clients read bootstrap servers.
func hostPorts(_ string, v any) *flaw {
	for _, s := range v.([]string) {
		if _, port, err := net.SplitHostPort(s); err != nil || !isPort(port) {
			return flawed(v, "Failed to parse host name and port: "+s)
		}
	}
	return nil
}

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n <= 65535
}

// voters allows a list of id@host:port.
func voters(name string, v any) *flaw {
	for _, s := range v.([]string) {
		id, address, ok := strings.Cut(s, "@")
		if _, err := strconv.Atoi(id); !ok || err != nil {
			return flawed(v, "Failed to parse voter ID as an integer from "+id)
		}
		if f := hostPorts(name, []string{address}); f != nil {
			return f
		}
	}
	return nil
}
