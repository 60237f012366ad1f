package apache

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gokafka/compat/process"
)

// ZooKeeper is a server on loopback, run from the jars that come with Kafka.
type ZooKeeper struct {
	Addr    string
	dir     string
	process *process.Process
}

// StartZooKeeper starts a server that keeps its data in dir.
func StartZooKeeper(dir string) (*ZooKeeper, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	z := &ZooKeeper{Addr: fmt.Sprintf("127.0.0.1:%d", port), dir: dir}
	settings := fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n",
		filepath.Join(dir, "data"), port)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create ZooKeeper's directory: %w", err)
	}
	if err := os.WriteFile(z.settingsFile(), []byte(settings), 0o644); err != nil {
		return nil, fmt.Errorf("write ZooKeeper's settings: %w", err)
	}
	return z, z.Start()
}

func (z *ZooKeeper) settingsFile() string { return filepath.Join(z.dir, "zookeeper.properties") }

// Start starts the server again after Stop, at the same address and with its data.
func (z *ZooKeeper) Start() error {
	flags := []string{"-Xmx256M", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dzookeeper.forceSync=no"}
	cmd, err := java(Version, "broker", flags, "org.apache.zookeeper.server.ZooKeeperServerMain", z.settingsFile())
	if err != nil {
		return err
	}
	if z.process, err = process.Start(cmd, filepath.Join(z.dir, "zookeeper.out")); err != nil {
		return err
	}
	if err := z.process.Await(60*time.Second, z.ready); err != nil {
		z.process.Kill()
		return fmt.Errorf("start ZooKeeper: %w", err)
	}
	return nil
}

// ready asks for the server's state. An open port is not enough: a session that is asked for too early is never answered.
func (z *ZooKeeper) ready() error {
	c, err := net.DialTimeout("tcp", z.Addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "srvr"); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err == nil && !strings.Contains(string(answer), "Mode:") {
		err = errors.New("not serving yet")
	}
	return err
}

// Pause stops the server as SIGSTOP does, until Resume: it answers nobody, and no session expires.
func (z *ZooKeeper) Pause() { z.process.Pause() }

// Resume has a paused server go on.
func (z *ZooKeeper) Resume() { z.process.Resume() }

// Stop ends the server at once. What it has acknowledged is in its log.
func (z *ZooKeeper) Stop() { z.process.Kill() }
