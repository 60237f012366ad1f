package durability

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gokafka/compat"
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
		}
	})
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
