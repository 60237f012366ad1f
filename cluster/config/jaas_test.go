package config

import (
	"reflect"
	"testing"
)

func TestParseJAAS(t *testing.T) {
	const digest = "org.apache.zookeeper.server.auth.DigestLoginModule"
	for _, test := range []struct {
		text string
		want map[string][]LoginModule // nil: refused
	}{
		{"", map[string][]LoginModule{}},
		{`Client { ` + digest + ` required username="kafka" password="a \"b\" \\c;{"; };`, map[string][]LoginModule{
			"Client": {{digest, "required", map[string]string{"username": "kafka", "password": `a "b" \c;{`}}}}},
		{"// a comment\nKafkaServer {\n  x.Y optional\n  a=true // another\n  b=\"c\"; /* and\nanother */ z.Z required;\n};\n# last\nClient{};", map[string][]LoginModule{
			"KafkaServer": {{"x.Y", "optional", map[string]string{"a": "true", "b": "c"}}, {"z.Z", "required", map[string]string{}}}, "Client": nil}},
		{`Client { x required a="b" };`, nil},
		{`Client { x required a "b"; };`, nil},
		{`Client { x required a="b`, nil},
		{`Client x`, nil},
		{`Client { x required; }`, nil},
	} {
		got, err := ParseJAAS(test.text)
		if (err == nil) != (test.want != nil) || err == nil && !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s\ngives %v, %v", test.text, got, err)
		}
	}
}

// What is in the file comes from an administrator, but it must end all the same.
func FuzzParseJAAS(f *testing.F) {
	f.Add(`Client { x.Y required username="kafka" password="p"; };`)
	f.Add("/* // # \" { } = ;")
	f.Fuzz(func(t *testing.T, text string) { _, _ = ParseJAAS(text) })
}
