package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

type kcat struct{ target }

func (k kcat) run(stdin io.Reader, args ...string) error {
	cmd := exec.Command("kcat", append([]string{"-b", k.address, "-X", "topic.metadata.refresh.interval.ms=1000"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

func (k kcat) produce(count int, codec string) error {
	var in bytes.Buffer
	for i := range count {
		key, value := message(i)
		fmt.Fprintf(&in, "%s:%s\n", key, value)
	}
	return k.run(&in, "-P", "-t", k.topic, "-K:", "-z", codec, "-X", "acks=all", "-E")
}

const format = `record %p %o %s\n`

func (k kcat) consume(count int) error {
	return k.run(nil, "-C", "-q", "-t", k.topic, "-o", "beginning", "-c", strconv.Itoa(count), "-f", format)
}

// group runs kcat's balanced consumer. It says on stderr what it is assigned.
func (k kcat) group(name string, stopped <-chan struct{}) error {
	cmd := exec.Command("kcat", "-b", k.address, "-X", "session.timeout.ms=10000", "-X", "heartbeat.interval.ms=500", "-X", "auto.offset.reset=earliest",
		"-X", "auto.commit.interval.ms=100", "-u", "-f", format, "-G", name, k.topic)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var records sync.WaitGroup
	records.Go(func() { // whole lines, so that none ends up within another
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			say(lines.Text())
		}
	})
	go func() { // ends when stdin does, as the whole process
		<-stopped
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}()
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if _, list, ok := strings.Cut(lines.Text(), "assigned:"); ok {
			assigned(partitions(list))
		}
	}
	records.Wait()
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil // kcat ends with a code after a signal
	}
	return err
}

var bracketed = regexp.MustCompile(`\[(\d+)\]`)

func partitions(list string) (out []int32) {
	for _, m := range bracketed.FindAllStringSubmatch(list, -1) {
		n, _ := strconv.Atoi(m[1]) // digits, by the expression
		out = append(out, int32(n))
	}
	return out
}

func (k kcat) admin() error { return k.run(nil, "-L", "-t", k.topic, "-J") }
