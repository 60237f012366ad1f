// Txndriver drives transactions of franz-go. The commands are described in package txn.
//
//	txndriver copy ADDRESSES INPUT OUTPUT GROUP ID
//	txndriver script ADDRESSES
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch {
	case len(args) == 6 && args[0] == "copy":
		return copier{addrs: args[1], input: args[2], output: args[3], group: args[4], id: args[5]}.run(ctx)
	case len(args) == 2 && args[0] == "script":
		return newScript(args[1]).run(ctx, os.Stdin, os.Stdout)
	default:
		return fmt.Errorf("usage: txndriver copy ADDRESSES INPUT OUTPUT GROUP ID | script ADDRESSES")
	}
}
