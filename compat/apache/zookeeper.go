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
	process *process.Process
}

// StartZooKeeper starts a server that keeps its data in dir.
func StartZooKeeper(dir string) (*ZooKeeper, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	settings := fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n",
		filepath.Join(dir, "data"), port)
	file := filepath.Join(dir, "zookeeper.properties")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create ZooKeeper's directory: %w", err)
	}
	if err := os.WriteFile(file, []byte(settings), 0o644); err != nil {
		return nil, fmt.Errorf("write ZooKeeper's settings: %w", err)
	}
	flags := []string{"-Xmx256M", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dzookeeper.forceSync=no"}
	cmd, err := java(Version, "broker", flags, "org.apache.zookeeper.server.ZooKeeperServerMain", file)
	if err != nil {
		return nil, err
	}
	z := &ZooKeeper{Addr: fmt.Sprintf("127.0.0.1:%d", port)}
	if z.process, err = process.Start(cmd, filepath.Join(dir, "zookeeper.out")); err != nil {
		return nil, err
	}
	if err := z.process.Await(60*time.Second, z.ready); err != nil {
		z.process.Kill()
		return nil, fmt.Errorf("start ZooKeeper: %w", err)
	}
	return z, nil
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

// Stop ends the server.
func (z *ZooKeeper) Stop() { z.process.Kill() }
