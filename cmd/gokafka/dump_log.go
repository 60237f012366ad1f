package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"

	"gokafka/log"
	"gokafka/log/vfs"
)

// dumpLog prints files of a log: what kafka-dump-log does. It returns the exit status.
func dumpLog(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("dump-log", flag.ContinueOnError)
	flags.SetOutput(stderr)
	records := flags.Bool("records", false, "print each record, too")
	if err := flags.Parse(args); err != nil || flags.NArg() == 0 {
		fmt.Fprintln(stderr, "gokafka dump-log [--records] FILE...")
		return 2
	}
	status := 0
	for _, name := range flags.Args() {
		fmt.Fprintf(stdout, "Dumping %s\n", name)
		out := bufio.NewWriter(stdout)
		err := log.Dump(out, vfs.OS{}, name, *records)
		if err := out.Flush(); err != nil {
			return 1
		}
		if err != nil {
			fmt.Fprintf(stderr, "gokafka: %v\n", err)
			status = 1
		}
	}
	return status
}
