package config

import (
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The golden file is what java.util.Properties made of the same bytes.
func TestParsePropertiesAsJava(t *testing.T) {
	data, err := os.ReadFile("testdata/java.properties")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/java.properties.golden")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(golden)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		want[unquote(t, key)] = unquote(t, value)
	}
	got, err := ParseProperties(data)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		for k := range want {
			if got[k] != want[k] {
				t.Errorf("%q: %q, Java has %q", k, got[k], want[k])
			}
		}
		t.Errorf("got %d properties, Java has %d", len(got), len(want))
	}
}

// unquote reads a Java string literal; Go's own reader refuses halves of surrogate pairs, which are one character here.
func unquote(t *testing.T, s string) string {
	t.Helper()
	s = strings.ReplaceAll(s, `\ud83d\ude00`, "😀")
	out, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return out
}

func TestParsePropertiesEncodings(t *testing.T) {
	for input, want := range map[string]string{"a=\xe4": "ä", "a=\xc3\xa4": "ä", `a=\u00E4`: "ä"} {
		if p, err := ParseProperties([]byte(input)); err != nil || p["a"] != want {
			t.Errorf("%q: %q, %v", input, p["a"], err)
		}
	}
	for _, input := range []string{`a=\u12`, `a=\u12x4`, `\u=1`, `a=\u+123`} {
		if p, err := ParseProperties([]byte(input)); err == nil {
			t.Errorf("%q was read as %q", input, p)
		}
	}
}

func FuzzParseProperties(f *testing.F) {
	data, err := os.ReadFile("testdata/java.properties")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`a\u00e4\`))
	f.Fuzz(func(t *testing.T, data []byte) {
		props, err := ParseProperties(data)
		if err != nil {
			return
		}
		var again strings.Builder
		for k, v := range props {
			again.WriteString(escapeProperty(k) + "=" + escapeProperty(v) + "\n")
		}
		if back, err := ParseProperties([]byte(again.String())); err != nil || !maps.Equal(back, props) {
			t.Errorf("%q became %q (%v)", props, back, err)
		}
	})
}

// escapeProperty writes every byte that could mean something as an escape.
func escapeProperty(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r < 0x80 && !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'):
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
