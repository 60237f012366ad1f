package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"gokafka/cluster/config"
	"gokafka/server"
)

// version is set when the binary is built: -ldflags "-X main.version=…".
var version = "dev"

const usage = `gokafka %s, a Kafka broker

  gokafka [server.properties] [--override name=value]...
  gokafka health [server.properties] [--override name=value]...
                                          ask the broker that runs here whether it serves; status 0 if so
  gokafka dump-log [--records] FILE...    print segments, indexes and snapshots

Without arguments it serves at 127.0.0.1:9092 and keeps its data in %s.
KAFKA_<NAME> environment variables set properties too (log.retention.ms is KAFKA_LOG_RETENTION_MS).
The command line wins over the environment, the environment over the file.

  --override name=value  set one property; may be repeated
  --version              print the version
  --help                 print this
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its surroundings as arguments; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "dump-log" {
		return dumpLog(args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "health" {
		return checkHealth(args[1:], stderr)
	}
	a, err := parseArguments(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stdout, usage, version, dataDir())
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "gokafka: %v (see gokafka --help)\n", err)
		return 2
	case a.version:
		fmt.Fprintln(stdout, "gokafka", version)
		return 0
	}
	coalesceTimers() // before a file is read, which may be a pipe
	c, err := configuration(a)
	if err != nil {
		fmt.Fprintf(stderr, "gokafka: %v\n", err)
		return 1
	}
	logger := newLogger(os.Stderr)
	defer runtime.KeepAlive(ballast())
	if err := serve(c, logger); err != nil {
		logger.Error().Err(err).Msg("gokafka stops because of an error")
		return 1
	}
	return 0
}

// repeatTime is how long after a signal more of them are taken for the same: timeout(1), and supervisors like it, send one to the process
// and another to its group.
const repeatTime = 2 * time.Second

// stopSignals stop the broker in order, as they do Apache's. A terminal that goes away does not if the process was told to ignore it,
// as nohup(1) does.
func stopSignals() []os.Signal {
	signals := []os.Signal{syscall.SIGTERM, syscall.SIGINT}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// serve runs the broker until a signal stops it in order; a second one, if it does not follow at once, ends the process where it is,
// also in a recovery, which no signal cuts short.
func serve(c *config.Broker, logger zerolog.Logger) error {
	ctx, restore := signal.NotifyContext(context.Background(), stopSignals()...)
	defer restore()
	defer context.AfterFunc(ctx, func() {
		logger.Info().AnErr("because", context.Cause(ctx)).Msg("gokafka was told to stop")
		time.AfterFunc(repeatTime, restore) // from then on a signal does what it does to any process
	})()
	b := server.NewBroker(c, logger)
	if err := b.Start(ctx); err != nil && ctx.Err() == nil {
		return err
	} else if err != nil {
		logger.Info().Err(err).Msg("gokafka was stopped before it answered")
		return nil
	}
	<-ctx.Done()
	began := time.Now()
	if err := b.Shutdown(context.Background()); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	logger.Info().Dur("after", time.Since(began)).Msg("gokafka stopped")
	return nil
}
