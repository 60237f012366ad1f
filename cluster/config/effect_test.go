package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// reads finds a setting that is read from Values.
var reads = regexp.MustCompile(`\.(?:Bool|Int|Int64|Float64|String|List|Millis|Seconds|Minutes)\("([a-zA-Z0-9.]+)"\)`)

// onlyTables are files that name settings without acting on them.
var onlyTables = []string{"broker_keys.go", "own_keys.go", "topic_keys.go", "crosscheck.go", "dynamic.go", "key.go"}

// A setting that claims to have an effect is named by some code that acts on it; otherwise a user is not warned. And what is read
// claims it; otherwise a user is warned for nothing.
func TestSettingsWithEffectAreRead(t *testing.T) {
	var code, users strings.Builder // all code, and that outside of this package
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && slices.Contains([]string{"compat", "testcontainers", "testdata", ".git"}, d.Name()) {
			return errOrSkip(err)
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || slices.Contains(onlyTables, d.Name()) {
			return nil
		}
		b, err := os.ReadFile(path)
		code.Write(b)
		if !strings.Contains(filepath.ToSlash(path), "cluster/config/") {
			users.Write(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range slices.Concat(brokerKeys, ownKeys) {
		// That a broker without an id may get one is decided by the check that refuses it otherwise.
		read := namedIn(code.String(), k.Name) || k.Name == "broker.id.generation.enable"
		if k.Effect && !read {
			t.Errorf("%s claims to have an effect, but nothing reads it", k.Name)
		}
		if k.Effect != (k.Doc != "") {
			t.Errorf("%s: a setting has a description if and only if it has an effect", k.Name)
		}
	}
	for _, m := range reads.FindAllStringSubmatch(users.String(), -1) {
		if k := brokers[m[1]]; k != nil && !k.Effect {
			t.Errorf("%s is read, but its Key does not say that it has an effect", k.Name)
		}
	}
}

func errOrSkip(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}

// namedIn looks for the name as a string, also of those that are read by a prefix and a unit.
func namedIn(code, name string) bool {
	for _, unit := range []string{"", ".ms", ".minutes", ".hours"} {
		if base, ok := strings.CutSuffix(name, unit); ok && strings.Contains(code, `"`+base+`"`) {
			return true
		}
	}
	return false
}
