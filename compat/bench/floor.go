package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The floor is what the machine asks for the bare bytes: a process that receives them over loopback and writes them to a file, 64 KiB at
// once, and sends the file back. No broker can cost less; measured in the same run it tells a slow broker from a slow machine.

// floorArgument makes this program that process.
const floorArgument = "floor"

const floorChunk = 64 << 10

// floor measures the bare loops and adds their processor time to the table.
func floor(s settings, t *table) error {
	if !s.only.MatchString(floorArgument) {
		return nil
	}
	var in, out []float64
	for range s.rounds {
		one, err := s.floorOnce()
		if err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		progress("%-34s in %6.3f s/GB, out %6.3f s/GB", "floor", one[0], one[1])
		in, out = append(in, one[0]), append(out, one[1])
	}
	t.floor = &[2]float64{median(in), median(out)}
	return nil
}

// floorOnce runs the process through both directions and returns the seconds per GB of each.
func (s settings) floorOnce() (perGB [2]float64, err error) {
	cmd := exec.Command("/proc/self/exe", floorArgument, filepath.Join(s.dir, floorArgument))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return perGB, err
	}
	if err := cmd.Start(); err != nil {
		return perGB, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed, or said what was wrong
	}()
	var addr string
	if _, err := fmt.Fscanln(stdout, &addr); err != nil {
		return perGB, fmt.Errorf("read address: %w", err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return perGB, err
	}
	defer c.Close()
	for i, move := range []func(net.Conn) error{s.fill, s.drain} {
		before, err := cpu(cmd.Process.Pid)
		if err != nil {
			return perGB, err
		}
		if err := move(c); err != nil {
			return perGB, err
		}
		after, err := cpu(cmd.Process.Pid)
		if err != nil {
			return perGB, err
		}
		perGB[i] = (after - before).Seconds() / (float64(s.size) / 1e9)
	}
	return perGB, nil
}

// fill sends the payload and waits until all of it is in the file.
func (s settings) fill(c net.Conn) error {
	if _, err := io.CopyN(c, endless{}, s.size); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

func (s settings) drain(c net.Conn) error {
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, make([]byte, floorChunk))
	if err == nil && n != s.size-1 {
		err = fmt.Errorf("%d bytes came back of %d", n, s.size)
	}
	return err
}

// endless is a source of bytes that costs nothing.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// runFloor is the process: it says where it listens, and serves one connection.
func runFloor(path string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer f.Close()
	buf := make([]byte, floorChunk)
	for err == nil {
		var n int
		n, err = io.ReadFull(c, buf)
		if _, err := f.Write(buf[:n]); err != nil {
			return err
		}
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(c, f) // sendfile(2)
	return err
}

// floorText says what the bare loops cost, for the page.
func (t *table) floorText() string {
	if t.floor == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The floor, in the same run: a bare loop that receives over loopback and writes a file, %d KiB at once, took %.2f s/GB, and sending the file\n", floorChunk>>10, t.floor[0])
	fmt.Fprintf(&b, "with sendfile(2) %.2f s/GB. What is above that is the broker's own.\n\n", t.floor[1])
	return b.String()
}
