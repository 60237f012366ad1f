// Command alltests is the project's one test command: it installs what the tests need beside Go, then runs every test of
// every module and ends with a line that counts them.
//
//	go -C compat run ./cmd/alltests
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A step is one command in one module.
type step struct {
	name string
	dir  string // relative to compat/
	args []string
}

// What is installed comes first, since the race detector needs a C compiler; then the quick tests, without which the rest says little.
var steps = []step{
	{"install what the tests need", ".", []string{"go", "run", "./cmd/setup"}},
	{"vet", "..", []string{"go", "vet", "./..."}},
	{"unit tests", "..", []string{"go", "test", "-race", "-v", "./..."}},
	{"a real ZooKeeper", "..", []string{"go", "test", "-race", "-v", "-tags", "zookeeper", "./cluster/metastore/zktest", "./cluster/controller"}},
	{"vet of compat", ".", []string{"go", "vet", "./..."}},
	{"stock clients and Apache Kafka", ".", []string{"go", "test", "-count=1", "-v", "-p", "2", "-timeout", "15m",
		"./clients", "./mixed", "./wire", "./durability", "./txn", "./cluster", "./..."}}, // the longest first, so that none runs alone at the end
	{"vet of testcontainers", "../testcontainers", []string{"go", "vet", "./..."}},
	{"testcontainers", "../testcontainers", []string{"go", "test", "-v", "-timeout", "10m", "./..."}},
}

func main() {
	var total count
	failed := false
	for _, s := range steps {
		began := time.Now()
		c, err := s.run()
		total.add(c)
		fmt.Printf("%-32s %6.1fs  %d passed, %d failed\n", s.name, time.Since(began).Seconds(), c.passed, c.failed)
		if err != nil {
			fmt.Printf("%s: %v\n", s.name, err)
			failed = true
		}
	}
	fmt.Printf("%d passed, %d failed\n", total.passed, total.failed)
	if failed || total.failed > 0 || total.passed == 0 {
		os.Exit(1)
	}
}

// count is what a run of go test reported, subtests included.
type count struct{ passed, failed int }

func (c *count) add(o count) { c.passed += o.passed; c.failed += o.failed }

// run executes the step. What passes is counted and not shown; failures and what does not belong to a test are.
func (s step) run() (count, error) {
	cmd := exec.Command(s.args[0], s.args[1:]...)
	cmd.Dir = filepath.FromSlash(s.dir)
	out, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return count{}, fmt.Errorf("start %s: %w", strings.Join(s.args, " "), err)
	}
	ended := make(chan error, 1)
	go func() { // ends with the command; its result is received below
		err := cmd.Wait()
		w.Close()
		ended <- err
	}()
	c := show(out)
	return c, <-ended
}

// show counts results and prints a test's lines only if it failed.
func show(r io.Reader) (c count) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	var held []string // what was printed since the last top-level result
	for lines.Scan() {
		line := lines.Text()
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case strings.HasPrefix(trimmed, "--- PASS: "):
			c.passed++
		case strings.HasPrefix(trimmed, "--- FAIL: "):
			c.failed++
			flush(&held)
			fmt.Println(line)
			continue
		case strings.HasPrefix(line, "ok  "), strings.HasPrefix(line, "FAIL"), strings.HasPrefix(line, "panic:"), strings.HasPrefix(line, "WARNING: DATA RACE"):
			if !strings.HasPrefix(line, "ok") {
				flush(&held)
			}
			fmt.Println(line)
		case strings.HasPrefix(line, "=== RUN"), strings.HasPrefix(line, "=== PAUSE"), strings.HasPrefix(line, "=== CONT"), strings.HasPrefix(line, "=== NAME"):
		}
		held = append(held, line)
		if strings.HasPrefix(line, "--- PASS: ") || strings.HasPrefix(line, "ok  ") {
			held = held[:0]
		}
	}
	flush(&held)
	return c
}

func flush(held *[]string) {
	for _, l := range *held {
		if l != "PASS" && !strings.Contains(l, "[no test files]") && !strings.HasPrefix(strings.TrimLeft(l, " "), "--- PASS") && !strings.HasPrefix(l, "=== ") {
			fmt.Println(l)
		}
	}
	*held = (*held)[:0]
}
