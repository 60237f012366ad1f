// Setup installs what the tests of this module and of testcontainers need: the system's packages (on Debian, as root), Apache's
// jars, the Java, Python and Node clients.
package main

import (
	"fmt"
	"os"
	"os/exec"

	"gokafka/compat/apache"
	"gokafka/compat/clients"
	"gokafka/compat/txn"
)

func main() {
	if err := setup(); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func setup() error {
	if err := packages(); err != nil {
		return err
	}
	if _, err := apache.Install(); err != nil {
		return err
	}
	if err := clients.Install(); err != nil {
		return err
	}
	return txn.Install()
}

// needed are the programs that must be there, by name or path, with the Debian packages that bring them.
var needed = map[string]string{
	"java": "default-jdk-headless", "javac": "default-jdk-headless", "mvn": "maven", "python3": "python3-venv", "node": "nodejs", "npm": "npm", "kcat": "kcat",
	"gcc":                                  "build-essential", // the race detector is linked by it
	"/usr/share/zookeeper/bin/zkServer.sh": "zookeeper",
}

// packages installs the system's packages for the programs that are missing.
func packages() error {
	missing := map[string]bool{}
	if exec.Command("docker", "info").Run() != nil { // the container tests then start a daemon of their own
		needed["dockerd"], needed["iptables"] = "docker.io", "iptables"
	}
	for program, pkg := range needed {
		if _, err := exec.LookPath(program); err != nil {
			missing[pkg] = true
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("please install the packages for %v", missing)
	}
	args := []string{"install", "-y", "-qq", "--no-install-recommends"}
	for pkg := range missing {
		args = append(args, pkg)
	}
	fmt.Fprintln(os.Stderr, "compat: apt-get", args)
	for _, cmd := range []*exec.Cmd{exec.Command("apt-get", "update", "-qq"), exec.Command("apt-get", args...)} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("run %v: %w\n%s", cmd.Args, err, out)
		}
	}
	return nil
}
