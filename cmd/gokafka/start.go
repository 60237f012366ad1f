package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"gokafka/cluster/config"
)

// arguments are what the command line says.
type arguments struct {
	file      string // server.properties, empty for none
	overrides []string
	version   bool
}

// parseArguments reads the command line as Apache's kafka-server-start does: the file first, then overrides; ours may come in any order.
func parseArguments(args []string) (a arguments, err error) {
	flags := flag.NewFlagSet("gokafka", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&a.version, "version", false, "")
	flags.Func("override", "", func(s string) error {
		if !strings.Contains(s, "=") {
			return fmt.Errorf("%q is not of the form name=value", s)
		}
		a.overrides = append(a.overrides, s)
		return nil
	})
	for {
		if err := flags.Parse(args); err != nil {
			return a, err
		}
		if flags.NArg() == 0 {
			return a, nil
		}
		if a.file != "" {
			return a, fmt.Errorf("more than one file: %s and %s", a.file, flags.Arg(0))
		}
		a.file, args = flags.Arg(0), flags.Args()[1:]
	}
}

func configuration(a arguments) (*config.Broker, error) {
	s := config.Sources{Environment: os.Environ(), Overrides: a.overrides, DataDir: dataDir()}
	if a.file != "" {
		var err error
		if s.File, err = config.ReadFile(a.file); err != nil {
			return nil, err
		}
		s.DataDir = "" // a file without log.dirs means Apache's default
	}
	return config.Load(s)
}

// dataDir is where data lies when nothing says otherwise: the place for a user's own, by the XDG convention.
func dataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "gokafka")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "share", "gokafka")
	}
	return "gokafka-data"
}

// newLogger writes lines for people to a terminal, and JSON elsewhere.
func newLogger(out *os.File) zerolog.Logger {
	zerolog.TimeFieldFormat = time.RFC3339Nano
	zerolog.DurationFieldUnit = time.Millisecond
	zerolog.SetGlobalLevel(zerolog.InfoLevel) // as admin.Loggers says; kafka-configs can change it
	if isatty.IsTerminal(out.Fd()) {
		return zerolog.New(zerolog.ConsoleWriter{Out: out, TimeFormat: "15:04:05.000"}).With().Timestamp().Logger()
	}
	return zerolog.New(out).With().Timestamp().Logger()
}
