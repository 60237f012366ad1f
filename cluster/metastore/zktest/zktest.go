// Package zktest starts a real ZooKeeper for tests. The tests that need it carry the build tag zookeeper, so that the others run
// without Java.
package zktest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script is where Debian's package puts the server.
const script = "/usr/share/zookeeper/bin/zkServer.sh"

const startTimeout = 30 * time.Second

// Server is a ZooKeeper of one node, on loopback, with its data in a directory of the test.
type Server struct {
	Address string // host:port
	dir     string
	flags   string // of its JVM
	process *exec.Cmd
}

// Start starts a ZooKeeper on a free port and stops it when the test ends.
func Start(t testing.TB) *Server { return start(t, "", "") }

// StartWithUser starts one that knows a user, who may log in with DIGEST-MD5.
func StartWithUser(t testing.TB, user, password string) *Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jaas.conf")
	jaas := fmt.Sprintf("Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_%s=\"%s\"; };\n", user, password)
	if err := os.WriteFile(file, []byte(jaas), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n", " -Djava.security.auth.login.config="+file)
}

func start(t testing.TB, settings, flags string) *Server {
	t.Helper()
	if _, err := os.Stat(script); err != nil {
		t.Fatalf("no ZooKeeper at %s: apt-get install zookeeper", script)
	}
	s := &Server{Address: freeAddress(t), dir: t.TempDir(), flags: flags}
	_, port, _ := net.SplitHostPort(s.Address)
	config := fmt.Sprintf("tickTime=500\nminSessionTimeout=1000\ndataDir=%s\nclientPort=%s\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n",
		filepath.Join(s.dir, "data"), port)
	if err := os.WriteFile(s.config(), []byte(config+settings), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	s.Restart(t)
	return s
}

func (s *Server) config() string { return filepath.Join(s.dir, "zoo.cfg") }

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Restart stops the server, as by a crash, if it runs, and starts it again with its data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.stop()
	out, err := os.OpenFile(filepath.Join(s.dir, "out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s.process = exec.Command(script, "start-foreground", s.config())
	s.process.Env = append(os.Environ(), "ZOO_LOG_DIR="+s.dir, "SERVER_JVMFLAGS=-Xmx256m -XX:TieredStopAtLevel=1"+s.flags)
	s.process.Stdout, s.process.Stderr = out, out
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(startTimeout); !s.serves(); {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(out.Name())
			t.Fatalf("ZooKeeper did not start: %s", text)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// serves reports whether sessions can begin, which is later than the port is open.
func (s *Server) serves() bool {
	return strings.Contains(s.FourLetters("srvr"), "Mode:")
}

// FourLetters sends one of ZooKeeper's four letter commands and returns the answer, empty when there is none.
func (s *Server) FourLetters(command string) string {
	c, err := net.DialTimeout("tcp", s.Address, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return ""
	}
	if _, err := c.Write([]byte(command)); err != nil {
		return ""
	}
	answer := make([]byte, 1<<16)
	n, _ := c.Read(answer)
	return string(answer[:n])
}

// stop kills the server and what its script started.
func (s *Server) stop() {
	if s.process == nil {
		return
	}
	_ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
	_ = s.process.Wait() // it was killed: its exit status says nothing
	s.process = nil
}
