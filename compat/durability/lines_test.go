package durability

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat"
	"gokafka/compat/load"
)

// A file of a million lines goes through kcat into a topic and comes out identical, across a restart.
func TestMillionLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lines")
	want := writeLines(t, file, 1_000_000)
	compat.Each(t, nil, func(t *testing.T, b compat.Broker) {
		create(t, b.Addr(), "lines", 1)
		kcat(t, nil, "-P", "-b", b.Addr(), "-t", "lines", "-p", "0", "-z", "lz4", "-X", "enable.idempotence=true", "-l", file)
		for range 2 {
			sum := sha256.New()
			kcat(t, sum, "-C", "-b", b.Addr(), "-t", "lines", "-p", "0", "-o", "beginning", "-e", "-q")
			if !bytes.Equal(sum.Sum(nil), want) {
				t.Fatal("what came out is not what went in")
			}
			compat.Restart(t, b)
			awaitLeader(t, b.Addr(), "lines")
		}
	})
}

// awaitLeader waits until a broker that was started again knows the topic and leads it: Apache Kafka answers a little earlier.
func awaitLeader(t *testing.T, addr, topic string) {
	t.Helper()
	client := load.Client(t, addr)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
		resp, err := req.RequestWith(ctx, client)
		if err == nil && resp.Topics[0].ErrorCode == 0 && len(resp.Topics[0].Partitions) > 0 && resp.Topics[0].Partitions[0].Leader >= 0 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("topic %s has no leader within a minute: %v", topic, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// writeLines writes n lines of uneven length and returns their digest.
func writeLines(t *testing.T, file string, n int) []byte {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	w := bufio.NewWriter(io.MultiWriter(f, sum))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		fmt.Fprintf(w, "%d %x\n", i, make([]byte, r.IntN(60)))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return sum.Sum(nil)
}

func kcat(t *testing.T, stdout io.Writer, args ...string) {
	t.Helper()
	cmd := exec.Command("kcat", args...)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("kcat %v: %v\n%s", args, err, stderr.String())
	}
}
