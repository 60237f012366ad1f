package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Sources are the places that a broker's static settings come from. A setting of the command line stands before one of the
// environment, that before one of the file; one that is set never wipes another.
type Sources struct {
	File        map[string]string // server.properties, see ReadFile
	Environment []string          // NAME=value, as os.Environ gives it
	Overrides   []string          // name=value, of the command line
	DataDir     string            // stands in for Apache's default of log.dir, unless empty
}

// standaloneDefaults replace Apache's where they would keep a broker from working without others.
var standaloneDefaults = map[string]string{
	"broker.id":                        "1",
	"node.id":                          "1",
	"listeners":                        "PLAINTEXT://127.0.0.1:9092",
	"offsets.topic.replication.factor": "1",
	"transaction.state.log.replication.factor": "1",
	"transaction.state.log.min.isr":            "1",
}

// ReadFile reads a server.properties file.
func ReadFile(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	props, err := ParseProperties(data)
	if err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return props, nil
}

// Load makes a broker's configuration of its sources. The error names every setting that is malformed.
func Load(s Sources) (*Broker, error) {
	static := maps.Clone(s.File)
	if static == nil {
		static = map[string]string{}
	}
	warnings := unknownSettings(static)
	fromEnv, unknown := environment(s.Environment)
	for name, value := range javaSettings(s.Environment) {
		if _, given := static[name]; !given {
			static[name] = value
		}
	}
	layStatic(static, fromEnv)
	warnings = append(warnings, unknown...)
	overrides, err := s.overrides()
	if err != nil {
		return nil, err
	}
	layStatic(static, overrides)
	warnings = append(warnings, unknownSettings(overrides)...)
	b, err := newBroker(s.defaults(static), static)
	if err != nil {
		return nil, err
	}
	b.warnings = append(warnings, withoutEffect(static)...)
	return b, nil
}

// overrides are those of the command line in one layer; of two for the same setting the last counts.
func (s Sources) overrides() (map[string]string, error) {
	props := map[string]string{}
	for _, o := range s.Overrides {
		name, value, ok := strings.Cut(o, "=")
		if !ok || trim(name) == "" {
			return nil, fmt.Errorf("override %q is not of the form name=value", o)
		}
		props[trim(name)] = value
	}
	return props, nil
}

func (s Sources) defaults(static map[string]string) map[string]string {
	defaults := map[string]string{}
	if trim(static["zookeeper.connect"]) == "" {
		maps.Copy(defaults, standaloneDefaults)
	}
	if s.DataDir != "" {
		defaults["log.dir"] = s.DataDir
	}
	return defaults
}

func unknownSettings(props map[string]string) []string {
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if brokerKey(name) == nil {
			warnings = append(warnings, fmt.Sprintf("setting %s is unknown", name))
		}
	}
	return warnings
}

// withoutEffect is one line that lists what was set to something else than its default and does nothing in this broker.
func withoutEffect(props map[string]string) []string {
	var idle []string
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if k := brokerKey(name); k != nil && !k.Effect && trim(props[name]) != k.Default {
			idle = append(idle, name)
		}
	}
	if len(idle) == 0 {
		return nil
	}
	return []string{"these settings have no effect in this broker: " + strings.Join(idle, ", ")}
}

// environmentPrefix begins the variables that carry settings.
const environmentPrefix = "KAFKA_"

// notSettings are variables of Apache's scripts and container image that carry no setting.
var notSettings = []string{
	"KAFKA_VERSION", "KAFKA_HOME", "KAFKA_USER", "KAFKA_DEBUG", "KAFKA_MODE", "KAFKA_OPTS", "KAFKA_CLUSTER_ID", "KAFKA_KRAFT_CLUSTER_ID",
	"KAFKA_GC_LOG_OPTS", "KAFKA_HEAP_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_TOOLS_LOG4J_LOGLEVEL",
}

// environment reads the settings among environment variables, by the rule of Apache's container image: KAFKA_LOG_DIRS is log.dirs,
// two underscores mean one, three a hyphen. A variable that is no setting is reported and ignored.
func environment(variables []string) (props map[string]string, warnings []string) {
	props = map[string]string{}
	for _, variable := range slices.Sorted(slices.Values(variables)) {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, environmentPrefix) || slices.Contains(notSettings, name) ||
			strings.HasPrefix(name, "KAFKA_JMX_") || strings.HasPrefix(name, "KAFKA_LOG4J") {
			continue
		}
		setting := canonicalName(settingOf(name))
		if brokerKey(setting) == nil {
			warnings = append(warnings, fmt.Sprintf("environment variable %s is no setting (%s is unknown)", name, setting))
			continue
		}
		props[setting] = value
	}
	return props, warnings
}

// javaSettings are the system properties in KAFKA_OPTS that mean something here: where Apache's brokers find ZooKeeper's credentials.
func javaSettings(variables []string) map[string]string {
	options := map[string]string{}
	for _, variable := range variables {
		if value, ok := strings.CutPrefix(variable, "KAFKA_OPTS="); ok {
			for option := range strings.FieldsSeq(value) {
				if name, value, ok := strings.Cut(strings.TrimPrefix(option, "-D"), "="); ok && strings.HasPrefix(option, "-D") {
					options[name] = strings.Trim(value, `"'`)
				}
			}
		}
	}
	if options["zookeeper.sasl.client"] == "false" {
		return nil
	}
	settings := map[string]string{}
	for java, own := range map[string]string{"java.security.auth.login.config": "gokafka.jaas.file", "zookeeper.sasl.clientconfig": "gokafka.zookeeper.jaas.section"} {
		if value := options[java]; value != "" {
			settings[own] = value
		}
	}
	return settings
}

func settingOf(variable string) string {
	name := strings.ToLower(strings.TrimPrefix(variable, environmentPrefix))
	return strings.NewReplacer("___", "-", "__", "_", "_", ".").Replace(name)
}

// canonicalName restores the capitals of the few settings that have some.
func canonicalName(name string) string {
	for known := range brokers {
		if strings.EqualFold(known, name) {
			return known
		}
	}
	return name
}
