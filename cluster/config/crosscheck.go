package config

import (
	"fmt"
	"slices"
	"strings"

	"gokafka/cluster"
)

// crossCheck looks at settings together, after each was found right by itself. Error texts are Apache's.
func (v *Values) crossCheck() error {
	for _, check := range []func() error{v.checkIDs, v.checkRoles, v.checkLog, v.checkReplica, v.checkConnections, v.checkSASL} {
		if err := check(); err != nil {
			return err
		}
	}
	n, err := v.ParseNetwork()
	if err != nil {
		return err
	}
	return v.checkProtection(n)
}

// checkProtection refuses what would leave the broker open if it were ignored like other settings without effect: whoever asks for
// encryption, authentication or authorization must not get a broker without.
func (v *Values) checkProtection(n *Network) error {
	for _, l := range n.Listeners {
		if l.Protocol != cluster.Plaintext {
			return fmt.Errorf("listener %s asks for %s, which this broker does not speak yet: only PLAINTEXT", l.Listener, l.Protocol)
		}
	}
	return require(v.String("authorizer.class.name") == "", "authorizer.class.name is set, but this broker does not authorize yet: it allows everything")
}

// require is an error with the text when the condition does not hold.
func require(ok bool, text string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(text, args...)
}

func (v *Values) checkIDs() error {
	id, generate := v.Int("broker.id"), v.Bool("broker.id.generation.enable")
	if generate {
		return require(id >= -1 && id <= v.Int("reserved.broker.max.id"),
			"broker.id must be greater than or equal to -1 and not greater than reserved.broker.max.id")
	}
	return require(id >= 0, "broker.id must be greater than or equal to 0")
}

// checkRoles takes the KRaft settings of a combined single node, which most container set-ups carry, for what they mean: a cluster
// of one. A broker of a KRaft cluster this is not.
func (v *Values) checkRoles() error {
	roles := v.List("process.roles")
	if len(roles) == 0 {
		return require(v.String("controller.listener.names") == "",
			"controller.listener.names must be empty when not running in KRaft mode: [%s]", v.String("controller.listener.names"))
	}
	if !slices.Contains(roles, "broker") || !slices.Contains(roles, "controller") {
		return fmt.Errorf("process.roles=%s is not supported: the roles broker and controller together are taken as a cluster of one, "+
			"and several brokers need zookeeper.connect", strings.Join(roles, ","))
	}
	return require(v.String("zookeeper.connect") == "", "process.roles and zookeeper.connect must not both be set")
}

func (v *Values) checkLog() error {
	retention := v.logRetentionMillis()
	perThread := v.Int64("log.cleaner.dedupe.buffer.size") / max(1, v.Int64("log.cleaner.threads"))
	format, _ := releaseOf(v.String("log.message.format.version"))
	switch {
	case v.firstUnit("log.roll") < 1:
		return fmt.Errorf("log.roll.ms must be greater than or equal to 1")
	case v.firstUnit("log.roll.jitter") < 0:
		return fmt.Errorf("log.roll.jitter.ms must be greater than or equal to 0")
	case retention < 1 && retention != -1:
		return fmt.Errorf("log.retention.ms must be unlimited (-1) or, greater than or equal to 1")
	case perThread <= 1<<20:
		return fmt.Errorf("log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.")
	case format == "":
		return fmt.Errorf("log.message.format.version %s is no version", v.String("log.message.format.version"))
	}
	return require(len(v.logDirs()) > 0, "At least one log directory must be defined via log.dirs or log.dir.")
}

func (v *Values) checkReplica() error {
	wait := v.Int("replica.fetch.wait.max.ms")
	if wait > v.Int("replica.socket.timeout.ms") {
		return fmt.Errorf("replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts")
	}
	return require(wait <= v.Int("replica.lag.time.max.ms"),
		"replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent changes in ISR")
}

func (v *Values) checkConnections() error {
	overrides, err := v.ConnectionsPerIP()
	queued, request := v.Int64("queued.max.request.bytes"), v.Int64("socket.request.max.bytes")
	idle, delay := v.Int64("connections.max.idle.ms"), v.Int64("connection.failed.authentication.delay.ms")
	switch {
	case err != nil:
		return err
	case queued > 0 && queued < request:
		return fmt.Errorf("queued.max.request.bytes must be larger or equal to socket.request.max.bytes")
	case v.Int("max.connections.per.ip") == 0 && len(overrides) == 0:
		return fmt.Errorf("max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.")
	case idle >= 0 && delay >= idle:
		return fmt.Errorf("connection.failed.authentication.delay.ms=%d should always be less than connections.max.idle.ms=%d "+
			"to prevent failed authentication responses from timing out", delay, idle)
	}
	return nil
}

func (v *Values) checkSASL() error {
	n, err := v.ParseNetwork()
	if err != nil {
		return err
	}
	l, _ := n.Listener(n.InterBroker)
	if !strings.HasPrefix(l.Protocol.String(), "SASL") {
		return nil
	}
	own, err := v.ForListener(n.InterBroker)
	if err != nil {
		return err
	}
	return require(slices.Contains(own.List("sasl.enabled.mechanisms"), v.String("sasl.mechanism.inter.broker.protocol")),
		"sasl.mechanism.inter.broker.protocol must be included in sasl.enabled.mechanisms when SASL is used for inter-broker communication")
}
