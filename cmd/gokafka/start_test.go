package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		args []string
		want arguments
		bad  string
	}{
		{args: nil},
		{args: []string{"f"}, want: arguments{file: "f"}},
		{args: []string{"f", "--override", "a=b", "--override", "c=d=e"}, want: arguments{file: "f", overrides: []string{"a=b", "c=d=e"}}},
		{args: []string{"-override=a=b", "f"}, want: arguments{file: "f", overrides: []string{"a=b"}}},
		{args: []string{"--version"}, want: arguments{version: true}},
		{args: []string{"f", "g"}, bad: "more than one file"},
		{args: []string{"--override", "a"}, bad: "name=value"},
		{args: []string{"--nonsense"}, bad: "nonsense"},
	} {
		got, err := parseArguments(c.args)
		switch {
		case c.bad != "":
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%q: error %v, want one with %q", c.args, err, c.bad)
			}
		case err != nil || got.file != c.want.file || got.version != c.want.version || !slices.Equal(got.overrides, c.want.overrides):
			t.Errorf("%q: %+v, %v, want %+v", c.args, got, err, c.want)
		}
	}
}

func TestAMalformedSettingIsNamedAndEndsTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("num.partitions=many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if status := run([]string{file}, &out, &errs); status == 0 || !strings.Contains(errs.String(), "num.partitions") {
		t.Errorf("status %d, said %q", status, errs.String())
	}
}

func TestHelpAndVersion(t *testing.T) {
	for arg, want := range map[string]string{"--help": "--override", "--version": "gokafka dev"} {
		var out, errs bytes.Buffer
		if status := run([]string{arg}, &out, &errs); status != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: status %d, said %q %q", arg, status, out.String(), errs.String())
		}
	}
}
