// Package clients runs stock Kafka clients against both brokers. Each is driven by a small program in its own language that
// understands the same commands, so that one test serves them all:
//
//	produce ADDRESS TOPIC COUNT CODEC  sends v-0, v-1, …, with keys k-0 … k-6, and ends when all are acknowledged
//	consume ADDRESS TOPIC COUNT        prints "record PARTITION OFFSET VALUE" for that many records from the start
//	group ADDRESS TOPIC GROUP          joins a group; prints "assigned PARTITION…" after each rebalance and "record …" for what it
//	                                   reads, commits it, and leaves when stdin is closed
//	admin ADDRESS TOPIC                goes through the admin calls and prints what each answered
//
// A program that succeeds prints "done" last. The programs are cmd/driver (Go libraries, and kcat), python/driver.py,
// node/driver.js, and java/Driver.java, compiled against three versions of the Java client.
package clients

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	"gokafka/compat/apache"
	"gokafka/compat/cache"
)

//go:embed python node java
var sources embed.FS

// Client is one stock client.
type Client struct {
	Name   string
	Codecs []string // what it can compress with; the first is used when there is time for one only
	Admin  bool     // whether it has admin calls
	// command is the program and the arguments that come before the command; it installs what is missing.
	command func() ([]string, error)
}

// All are the clients, in the order of the tests.
var All = []Client{
	{Name: "franz-go", Codecs: all("snappy"), Admin: true, command: goDriver("franz")},
	{Name: "sarama", Codecs: all("zstd"), Admin: true, command: goDriver("sarama")},
	{Name: "segmentio", Codecs: all("gzip"), Admin: true, command: goDriver("segmentio")},
	{Name: "kcat", Codecs: all("snappy"), command: kcat},
	{Name: "librdkafka", Codecs: all("lz4"), Admin: true, command: python("librdkafka")},
	{Name: "kafka-python", Codecs: []string{"gzip", "none"}, Admin: true, command: python("kafka-python")},
	{Name: "aiokafka", Codecs: []string{"gzip", "none"}, Admin: true, command: python("aiokafka")},
	{Name: "kafkajs", Codecs: []string{"gzip", "none"}, Admin: true, command: node},
	{Name: "java-3.9", Codecs: all("zstd"), Admin: true, command: java(apache.Version, "new")},
	{Name: "java-4", Codecs: all("lz4"), Admin: true, command: java("4.4.0", "new")},
	{Name: "java-0.10", Codecs: []string{"gzip", "snappy", "lz4", "none"}, command: java("0.10.2.2", "old")},
}

// all are the codecs, that one first.
func all(first string) []string {
	codecs := []string{"gzip", "snappy", "lz4", "zstd", "none"}
	return append([]string{first}, slices.DeleteFunc(codecs, func(c string) bool { return c == first })...)
}

// Command is a client's program with the arguments of one command.
func (c Client) Command(args ...string) (*exec.Cmd, error) {
	prefix, err := c.command()
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", c.Name, err)
	}
	line := slices.Concat(prefix, args)
	return exec.Command(line[0], line[1:]...), nil
}

// Install fetches and compiles what the clients need.
func Install() error {
	var all []error
	for _, c := range All {
		if _, err := c.command(); err != nil {
			all = append(all, fmt.Errorf("prepare %s: %w", c.Name, err))
		}
	}
	return errors.Join(all...)
}

func run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w\n%s", name, err, out)
	}
	return nil
}

func goDriver(library string) func() ([]string, error) {
	return func() ([]string, error) {
		bin, err := buildDriver()
		return []string{bin, library}, err
	}
}

// buildDriver builds the driver of the Go libraries, once for all of them.
var buildDriver = sync.OnceValues(func() (string, error) {
	root, err := cache.Root()
	if err != nil {
		return "", err
	}
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin", "driver-"+cache.Key(here))
	fresh := fmt.Sprintf("%s.%d", bin, os.Getpid()) // renamed when complete: another test may be running the former one
	if err := run(".", "go", "build", "-o", fresh, "gokafka/compat/cmd/driver"); err != nil {
		return "", err
	}
	return bin, os.Rename(fresh, bin)
})

// kcat comes with the system; there is nothing to build it from here.
func kcat() ([]string, error) {
	if _, err := exec.LookPath("kcat"); err != nil {
		return nil, fmt.Errorf("kcat is not installed (on Debian: apt-get install kcat): %w", err)
	}
	return goDriver("kcat")()
}

// Packages of the Python and Node clients, with the versions that the tests were written for.
var (
	pythonPackages = []string{"confluent-kafka==2.16.1", "kafka-python==3.0.12", "aiokafka==0.14.0"}
	nodePackages   = []string{"kafkajs@2.2.4"}
)

// Python is an interpreter that has the Python clients.
func Python() (string, error) {
	packages, err := cache.Dir("python", fmt.Sprint(pythonPackages), func(dir string) error {
		if err := run(dir, "python3", "-m", "venv", "venv"); err != nil {
			return err
		}
		return run(dir, filepath.Join(dir, "venv", "bin", "pip"), append([]string{"install", "--quiet"}, pythonPackages...)...)
	})
	return filepath.Join(packages, "venv", "bin", "python"), err
}

func python(library string) func() ([]string, error) {
	return func() ([]string, error) {
		interpreter, err := Python()
		if err != nil {
			return nil, err
		}
		driver, err := written("python/driver.py")
		return []string{interpreter, filepath.Join(driver, "driver.py"), library}, err
	}
}

func node() ([]string, error) {
	packages, err := cache.Dir("node", fmt.Sprint(nodePackages), func(dir string) error {
		return run(dir, "npm", append([]string{"install", "--no-audit", "--no-fund", "--silent", "--prefix", dir}, nodePackages...)...)
	})
	if err != nil {
		return nil, err
	}
	driver, err := written("node/driver.js")
	return []string{"env", "NODE_PATH=" + filepath.Join(packages, "node_modules"), "node", filepath.Join(driver, "driver.js")}, err
}

const clientPom = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>gokafka.compat</groupId><artifactId>client</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-clients</artifactId><version>%s</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

func java(version, flavour string) func() ([]string, error) {
	return func() ([]string, error) {
		jars, err := cache.Dir("java", version, func(dir string) error { return apache.Jars(dir, fmt.Appendf(nil, clientPom, version)) })
		if err != nil {
			return nil, err
		}
		libs := filepath.Join(jars, "libs", "*")
		names := []string{"java/Driver.java", "java/" + flavour + "/Version.java"}
		classes, err := cache.Dir("java-driver", version+digest(names...), func(dir string) error {
			if err := copyOut(dir, names...); err != nil {
				return err
			}
			return run(dir, "javac", "-nowarn", "-cp", libs, "-d", dir, "Driver.java", "Version.java")
		})
		path := classes + string(filepath.ListSeparator) + libs
		return []string{"java", "-Xmx256M", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path, "Driver"}, err
	}
}

// written is a directory with an embedded driver in it.
func written(name string) (string, error) {
	return cache.Dir("driver", digest(name), func(dir string) error { return copyOut(dir, name) })
}

// copyOut writes embedded files to dir, without their own directories.
func copyOut(dir string, names ...string) error {
	for _, name := range names {
		b, err := sources.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read driver: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o644); err != nil {
			return fmt.Errorf("write driver: %w", err)
		}
	}
	return nil
}

// digest stands for the drivers' text: a change of it installs anew.
func digest(names ...string) string {
	var all []byte
	for _, name := range names {
		b, _ := sources.ReadFile(name) // copyOut reports it if it is not there
		all = append(append(all, name...), b...)
	}
	return cache.Key(string(all))
}
