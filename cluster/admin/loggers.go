package admin

import (
	"sync"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
)

// rootLogger is the name of the one logger whose level can be set, under the names of log4j.
const rootLogger = "root"

// levels maps log4j's levels to ours, from the least to the most talkative.
var levels = map[string]zerolog.Level{
	"FATAL": zerolog.FatalLevel, "ERROR": zerolog.ErrorLevel, "WARN": zerolog.WarnLevel,
	"INFO": zerolog.InfoLevel, "DEBUG": zerolog.DebugLevel, "TRACE": zerolog.TraceLevel,
}

// Loggers lets tools read and set the level of logging while the broker runs (KIP-412). The level is not kept over a restart.
type Loggers struct {
	set func(zerolog.Level)

	mu    sync.Mutex
	level string
}

// NewLoggers returns Loggers at level INFO that apply a change by calling set.
func NewLoggers(set func(zerolog.Level)) *Loggers { return &Loggers{set: set, level: "INFO"} }

func (l *Loggers) current() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.level
}

// alter sets the root logger's level. It checks all changes before it makes one.
func (l *Loggers) alter(ops []AlterOp, validateOnly bool) error {
	for _, op := range ops {
		if err := checkLoggerOp(op); err != nil {
			return err
		}
	}
	if validateOnly {
		return nil
	}
	for _, op := range ops {
		l.change(op.Value)
	}
	return nil
}

func checkLoggerOp(op AlterOp) error {
	switch op.Kind {
	case OpAppend, OpSubtract:
		return refuse(kerr.InvalidRequest, "%s operation is not allowed for the BROKER_LOGGER resource", op.Kind)
	case OpSet, OpDelete:
	default:
		return refuse(kerr.InvalidRequest, "Unknown operation type %d is not allowed for the BROKER_LOGGER resource", int8(op.Kind))
	}
	if op.Name != rootLogger {
		return refuse(kerr.InvalidConfig, "Logger %s does not exist!", op.Name)
	}
	if op.Kind == OpDelete {
		return refuse(kerr.InvalidRequest, "Removing the log level of the root logger is not allowed")
	}
	if _, ok := levels[op.Value]; !ok {
		return refuse(kerr.InvalidConfig, "Cannot set the log level of %s to %s as it is not a supported log level. "+
			"Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN", op.Name, op.Value)
	}
	return nil
}

func (l *Loggers) change(level string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.level = level
	l.set(levels[level])
}
