package apache

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"gokafka/compat/cache"
)

// Version is the release that gokafka is compared with.
const Version = "3.9.2"

//go:embed pom.xml
var pom []byte

const brokerLogging = `log4j.rootLogger=INFO, f
log4j.appender.f=org.apache.log4j.ConsoleAppender
log4j.appender.f.layout=org.apache.log4j.PatternLayout
log4j.appender.f.layout.ConversionPattern=[%d] %p %m (%c)%n
`

const toolLogging = `log4j.rootLogger=WARN, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.appender.stderr.Target=System.err
`

// Install returns the directory that holds the jars (in "libs") and the logging settings, fetching them once.
var Install = sync.OnceValues(func() (string, error) { return InstallVersion(Version) })

// InstallVersion is Install for any release.
func InstallVersion(version string) (string, error) {
	pom := bytes.ReplaceAll(pom, []byte(Version), []byte(version))
	return cache.Dir("apache", version, func(dir string) error {
		if err := Jars(dir, pom); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "broker.log4j"), []byte(brokerLogging), 0o644); err != nil {
			return fmt.Errorf("write logging settings: %w", err)
		}
		return os.WriteFile(filepath.Join(dir, "tool.log4j"), []byte(toolLogging), 0o644)
	})
}

// Jars has Maven copy everything that a pom depends on to dir/libs.
func Jars(dir string, pom []byte) error {
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, pom, 0o644); err != nil {
		return fmt.Errorf("write pom: %w", err)
	}
	out, err := exec.Command("mvn", "-q", "-B", "-f", file, "dependency:copy-dependencies", "-DoutputDirectory="+filepath.Join(dir, "libs")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run mvn (Maven and a JDK are needed): %w\n%s", err, out)
	}
	return nil
}

// java is a command line for a class of a release's jars. The flags make short runs start faster.
func java(version, logging string, flags []string, class string, args ...string) (*exec.Cmd, error) {
	dir, err := InstallVersion(version)
	if err != nil {
		return nil, err
	}
	line := append([]string{"-Djava.awt.headless=true", "-Dlog4j.configuration=file:" + filepath.Join(dir, logging+".log4j")}, flags...)
	line = append(line, "-cp", filepath.Join(dir, "libs", "*"), class)
	return exec.Command("java", append(line, args...)...), nil
}
