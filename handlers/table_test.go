package handlers

import (
	"bytes"
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var update = flag.Bool("update", false, "write the golden files anew")

// versions is one line of an API list.
type versions struct{ key, min, max int16 }

// apacheVersions is the list that Apache Kafka 3.9.2 advertises in ZooKeeper mode.
func apacheVersions(t *testing.T) []versions {
	t.Helper()
	b, err := os.ReadFile("testdata/api_versions.apache.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var list []versions
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n")[1:] {
		var v versions
		var name string
		if _, err := fmt.Sscan(line, &v.key, &name, &v.min, &v.max); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		list = append(list, v)
	}
	return list
}

func TestTableIsInKeyOrderAndDecodable(t *testing.T) {
	last := int16(-1)
	for _, api := range Table(Deps{}) {
		if api.Key <= last {
			t.Errorf("key %d after %d", api.Key, last)
		}
		last = api.Key
		if req := api.New(); req.Key() != api.Key || api.Min > api.Max || api.Max > req.MaxVersion() {
			t.Errorf("key %d v%d–%d: the request has key %d, max version %d", api.Key, api.Min, api.Max, req.Key(), req.MaxVersion())
		}
	}
}

// Nothing is offered that Apache does not offer: its clients choose their behaviour by this list.
func TestTableIsWithinApaches(t *testing.T) {
	apache := map[int16]versions{}
	for _, v := range apacheVersions(t) {
		apache[v.key] = v
	}
	for _, api := range Table(Deps{}) {
		if v, ok := apache[api.Key]; !ok || api.Min < v.min || api.Max > v.max {
			t.Errorf("key %d v%d–%d, Apache has v%d–%d (%v)", api.Key, api.Min, api.Max, v.min, v.max, ok)
		}
	}
}

func TestTableGolden(t *testing.T) {
	var out bytes.Buffer
	for _, api := range Table(Deps{}) {
		fmt.Fprintf(&out, "%d %s %d %d\n", api.Key, kmsg.NameForKey(api.Key), api.Min, api.Max)
	}
	const file = "testdata/api_versions.golden"
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the table changed (-update writes it anew):\n%s", out.String())
	}
}

// Given Apache's list, the answer is Apache's, byte for byte.
func TestApiVersionsAnswersAsApache(t *testing.T) {
	advertised := &advertisement{}
	var apis []API
	for _, v := range apacheVersions(t) {
		apis = append(apis, API{Key: v.key, Min: v.min, Max: v.max})
	}
	advertised.set(apis)
	api := apiVersions(advertised)
	for version := api.Min; version <= api.Max; version++ {
		text, err := os.ReadFile(fmt.Sprintf("testdata/api_versions_v%d.apache.hex", version))
		if err != nil {
			t.Fatal(err)
		}
		want, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "a", "b"
		if got := answer(t, api, req).AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("v%d:\n got %x\nwant %x", version, got, want)
		}
	}
}

func TestApiVersionsSoftwareName(t *testing.T) {
	for _, tt := range []struct {
		name, version string
		want          int16
	}{
		{"apache-kafka-java", "3.9.2", 0},
		{"a", "1", 0},
		{"", "1", 42},
		{"a", "", 42},
		{"-a", "1", 42},
		{"a.", "1", 42},
		{"a b", "1", 42},
		{"a\n", "1", 42},
		{"é", "1", 42},
	} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 4, tt.name, tt.version
		resp := answer(t, apiVersions(&advertisement{}), req).(*kmsg.ApiVersionsResponse)
		if resp.ErrorCode != tt.want {
			t.Errorf("%q %q: error %d, want %d", tt.name, tt.version, resp.ErrorCode, tt.want)
		}
	}
}

// What Apache answers on a listener without SASL, recorded.
func TestSaslIsOutOfPlace(t *testing.T) {
	const text = "00415361736c41757468656e7469636174652072657175657374207265636569766564206166746572207375636365737366756c2061757468656e7469636174696f6e"
	for _, tt := range []struct {
		api     API
		version int16
		want    string
	}{
		{saslHandshake(), 0, "002200000000"},
		{saslHandshake(), 1, "002200000000"},
		{saslAuthenticate(), 0, "0022" + text + "00000000"},
		{saslAuthenticate(), 1, "0022" + text + "000000000000000000000000"},
		{saslAuthenticate(), 2, "002242" + text[4:] + "01000000000000000000"},
	} {
		req := tt.api.New()
		req.SetVersion(tt.version)
		if got := hex.EncodeToString(answer(t, tt.api, req).AppendTo(nil)); got != tt.want {
			t.Errorf("key %d v%d: %s, want %s", tt.api.Key, tt.version, got, tt.want)
		}
	}
}

func answer(t *testing.T, api API, req kmsg.Request) kmsg.Response {
	t.Helper()
	a, wait, err := api.Begin(context.Background(), &Call{Key: req.Key(), Version: req.GetVersion()}, req)
	if err != nil || wait != nil {
		t.Fatalf("key %d: wait %v, error %v", req.Key(), wait != nil, err)
	}
	return a.Response
}
