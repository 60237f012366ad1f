package txn

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"gokafka/compat/apache"
	"gokafka/compat/cache"
	"gokafka/compat/clients"
)

//go:embed python java
var sources embed.FS

// pom has the Java client and Kafka Streams of the release that gokafka is compared with.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>gokafka.compat</groupId><artifactId>transactions</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-streams</artifactId><version>` + apache.Version + `</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

// Job is what a copier does: it copies the input to the output, keeping partitions, until it gets SIGTERM.
type Job struct {
	Addrs, Input, Output string
	Group                string // for Streams, which names its own, also the application
	ID                   string // transactional
	State                string // a directory for Streams
}

// Copier is a client that copies a topic in transactions.
type Copier struct {
	Name    string
	command func(Job) (*exec.Cmd, error)
}

// Copiers are all of them.
var Copiers = []Copier{
	{"java", func(j Job) (*exec.Cmd, error) {
		return apache.Tool("transactional-copier", "--broker-list", j.Addrs, "--input-topic", j.Input, "--input-partition", "0", "--output-topic", j.Output,
			"--consumer-group", j.Group, "--transactional-id", j.ID, "--transaction-size", "50", "--transaction-timeout", "10000",
			"--group-mode", "--use-group-metadata", "--enable-random-aborts")
	}},
	{"franz-go", func(j Job) (*exec.Cmd, error) { return franz("copy", j.Addrs, j.Input, j.Output, j.Group, j.ID) }},
	{"librdkafka", func(j Job) (*exec.Cmd, error) { return python("copy", j.Addrs, j.Input, j.Output, j.Group, j.ID) }},
	{"streams", func(j Job) (*exec.Cmd, error) { return java("Copy", j.Addrs, j.Input, j.Output, j.Group, j.State) }},
}

// Performer is a client that does what a script says.
type Performer struct {
	Name    string
	command func(addrs string) (*exec.Cmd, error)
}

// Performers are all of them.
var Performers = []Performer{
	{"java", func(addrs string) (*exec.Cmd, error) { return java("Script", addrs) }},
	{"franz-go", func(addrs string) (*exec.Cmd, error) { return franz("script", addrs) }},
	{"librdkafka", func(addrs string) (*exec.Cmd, error) { return python("script", addrs) }},
}

// Install fetches and compiles what the clients need.
func Install() error {
	if _, err := java("Script"); err != nil {
		return err
	}
	if _, err := python(); err != nil {
		return err
	}
	_, err := franz()
	return err
}

// franzDriver builds the driver, once in a run.
var franzDriver = sync.OnceValues(func() (string, error) {
	root, err := cache.Root()
	if err != nil {
		return "", err
	}
	here, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find myself: %w", err)
	}
	bin := filepath.Join(root, "bin", "txndriver-"+cache.Key(here))
	fresh := fmt.Sprintf("%s.%d", bin, os.Getpid()) // renamed when complete: another test may be running the former one
	if out, err := exec.Command("go", "build", "-o", fresh, "gokafka/compat/cmd/txndriver").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build driver: %w\n%s", err, out)
	}
	return bin, os.Rename(fresh, bin)
})

func franz(args ...string) (*exec.Cmd, error) {
	bin, err := franzDriver()
	return exec.Command(bin, args...), err
}

func python(args ...string) (*exec.Cmd, error) {
	interpreter, err := clients.Python()
	if err != nil {
		return nil, err
	}
	dir, err := written("python/driver.py", nil)
	return exec.Command(interpreter, append([]string{filepath.Join(dir, "driver.py")}, args...)...), err
}

func java(class string, args ...string) (*exec.Cmd, error) {
	jars, err := cache.Dir("streams", apache.Version, func(dir string) error { return apache.Jars(dir, []byte(pom)) })
	if err != nil {
		return nil, err
	}
	libs := filepath.Join(jars, "libs", "*")
	classes, err := written("java/"+class+".java", func(dir string) error {
		out, err := exec.Command("javac", "-nowarn", "-cp", libs, "-d", dir, filepath.Join(dir, class+".java")).CombinedOutput()
		if err != nil {
			return fmt.Errorf("run javac: %w\n%s", err, out)
		}
		return nil
	})
	flags := []string{"-Xmx256M", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp", classes + string(filepath.ListSeparator) + libs, class}
	return exec.Command("java", append(flags, args...)...), err
}

// written is a directory with an embedded program in it, and what then makes of it.
func written(name string, then func(dir string) error) (string, error) {
	text, err := sources.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read driver: %w", err)
	}
	return cache.Dir("txn-driver", name+" "+cache.Key(string(text)), func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), text, 0o644); err != nil {
			return fmt.Errorf("write driver: %w", err)
		}
		if then == nil {
			return nil
		}
		return then(dir)
	})
}
