package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The floor of a cluster is three processes that do nothing but copy: one receives 64 KiB at a time over loopback, appends them to a file and sends
// them to two others, which append them too and say so; when both have, it answers. Like the brokers they keep some 200 MB of files. There is no
// protocol, no checksum, no index and one partition: three replicas cannot be had for less in pieces of that size.

// copierArgument makes this program one of these processes.
const copierArgument = "copier"

const (
	copierWindow  = 15        // pieces that are not answered, as of a producer with five requests to each of three brokers
	copierSegment = 1024      // pieces in a file
	copierKept    = 3         // files that stay
	copierAck     = 120       // bytes with which a follower asks for more
	copierAnswer  = 50        // bytes of an answer
	copierReady   = "copying" // the word of a leader that has two followers
)

// clusterFloor is the processor time of the three processes together, in seconds per GB.
func (s settings) clusterFloor() (perGB float64, err error) {
	var pids []int
	start := func(name string, args ...string) (io.Reader, error) {
		cmd := exec.Command("/proc/self/exe", append([]string{copierArgument, filepath.Join(s.dir, name)}, args...)...)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		pids = append(pids, cmd.Process.Pid)
		return out, nil
	}
	defer func() {
		for _, pid := range pids {
			if p, errFind := os.FindProcess(pid); errFind == nil {
				_ = p.Kill()
				_, _ = p.Wait() // it was killed, or said what was wrong
			}
		}
	}()
	out, err := start("leader")
	if err != nil {
		return 0, err
	}
	var addr, ready string
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		return 0, fmt.Errorf("read address: %w", err)
	}
	for _, name := range []string{"follower-1", "follower-2"} {
		if _, err := start(name, addr); err != nil {
			return 0, err
		}
	}
	if _, err := fmt.Fscanln(out, &ready); err != nil || ready != copierReady {
		return 0, fmt.Errorf("leader says %q: %w", ready, err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	before, err := cpuOf(pids)
	if err != nil {
		return 0, err
	}
	pieces := s.clusterSize() / floorChunk
	sent := make(chan error, 1)
	go func() {
		_, err := io.CopyN(c, endless{}, pieces*floorChunk)
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	if _, err := io.CopyN(io.Discard, c, pieces*copierAnswer); err != nil {
		return 0, fmt.Errorf("read answers: %w", err)
	}
	if err := <-sent; err != nil {
		return 0, err
	}
	after, err := cpuOf(pids)
	return (after - before).Seconds() / (float64(pieces*floorChunk) / 1e9), err
}

func cpuOf(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		one, errOne := cpu(pid)
		sum, err = sum+one, errors.Join(err, errOne)
	}
	return sum, err
}

// runCopier is one of the processes: a follower if it is given a leader's address.
func runCopier(path string, leader string) error {
	files := &copierFiles{path: path}
	defer files.remove()
	if leader != "" {
		return follow(leader, files)
	}
	return lead(files)
}

func lead(files *copierFiles) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	var conns [3]net.Conn // the followers come first
	for i := range conns {
		if conns[i], err = l.Accept(); err != nil {
			return err
		}
		defer conns[i].Close()
		if i == 1 {
			fmt.Println(copierReady)
		}
	}
	followers, client := conns[:2], conns[2]
	piece, ack := make([]byte, floorChunk), make([]byte, copierAck)
	answerOne := func() error {
		for _, f := range followers {
			if _, err := io.ReadFull(f, ack); err != nil {
				return err
			}
		}
		_, err := client.Write(ack[:copierAnswer])
		return err
	}
	for open := 0; ; {
		_, err := io.ReadFull(client, piece)
		for ; open == copierWindow || open > 0 && err != nil; open-- {
			if err := answerOne(); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := files.append(piece); err != nil {
			return err
		}
		for _, f := range followers {
			if _, err := f.Write(piece); err != nil {
				return err
			}
		}
		open++
	}
}

func follow(leader string, files *copierFiles) error {
	c, err := net.Dial("tcp", leader)
	if err != nil {
		return err
	}
	defer c.Close()
	piece, ack := make([]byte, floorChunk), make([]byte, copierAck)
	for {
		if _, err := io.ReadFull(c, piece); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := files.append(piece); err != nil {
			return err
		}
		if _, err := c.Write(ack); err != nil {
			return err
		}
	}
}

// copierFiles are one file after another, of which the last few stay.
type copierFiles struct {
	path   string
	file   *os.File
	number int // of files begun
	pieces int // in the file
}

func (c *copierFiles) append(piece []byte) (err error) {
	if c.file == nil || c.pieces == copierSegment {
		if c.file != nil {
			c.file.Close()
		}
		_ = os.Remove(c.name(c.number - copierKept)) // it is not there at first
		if c.file, err = os.Create(c.name(c.number)); err != nil {
			return err
		}
		c.number, c.pieces = c.number+1, 0
	}
	c.pieces++
	_, err = c.file.Write(piece)
	return err
}

func (c *copierFiles) name(number int) string { return fmt.Sprintf("%s-%d", c.path, number) }

func (c *copierFiles) remove() {
	for n := max(0, c.number-copierKept); n <= c.number; n++ {
		_ = os.Remove(c.name(n))
	}
}
