// Driver drives one Go client, or kcat. The commands and what they print are described in package clients.
//
//	driver LIBRARY COMMAND ADDRESS TOPIC [ARGUMENT...]
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// library is one client.
type library interface {
	produce(count int, codec string) error
	consume(count int) error
	group(name string, stopped <-chan struct{}) error
	admin() error
}

// target is where a library works.
type target struct{ address, topic string }

func main() {
	if len(os.Args) < 5 {
		fmt.Fprintln(os.Stderr, "usage: driver LIBRARY COMMAND ADDRESS TOPIC [ARGUMENT...]")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], target{os.Args[3], os.Args[4]}, os.Args[5:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	say("done")
}

func run(name, command string, t target, rest []string) error {
	libraries := map[string]library{"sarama": saramaClient{t}, "segmentio": segmentio{t}, "kcat": kcat{t},
		"franz":       franz{t, []kgo.GroupBalancer{kgo.CooperativeStickyBalancer()}},
		"franz-range": franz{t, []kgo.GroupBalancer{kgo.RangeBalancer()}}, // the one that all clients know
	}
	lib, ok := libraries[name]
	if !ok {
		return fmt.Errorf("unknown library %q", name)
	}
	switch command {
	case "produce":
		return lib.produce(number(rest[0]), rest[1])
	case "consume":
		return lib.consume(number(rest[0]))
	case "group":
		return lib.group(rest[0], stdinClosed())
	case "admin":
		return lib.admin()
	default:
		return fmt.Errorf("unknown command %q", command)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err) // the harness writes numbers
	}
	return n
}

// stdinClosed is closed when the harness closes stdin: a group member shall leave.
func stdinClosed() <-chan struct{} {
	c := make(chan struct{})
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(c)
	}()
	return c
}

var mu sync.Mutex

func say(words ...any) {
	mu.Lock()
	defer mu.Unlock()
	fmt.Println(words...)
}

func assigned(partitions []int32) {
	var b strings.Builder
	b.WriteString("assigned")
	for _, p := range partitions {
		fmt.Fprintf(&b, " %d", p)
	}
	say(b.String())
}

func record(partition int32, offset int64, value []byte) {
	say("record", partition, offset, string(value))
}

func message(i int) (key, value []byte) {
	return fmt.Appendf(nil, "k-%d", i%7), fmt.Appendf(nil, "v-%d", i)
}

// show prints what a step of the admin command answered, or how it failed.
func show(step string, v any, err error) {
	if err != nil {
		say(step, "failed:", err)
		return
	}
	say(step, fmt.Sprint(v))
}
