package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Every request of every version comes out of a frame as it was put in.
func TestRequestsRoundTrip(t *testing.T) {
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID("client"))
	eachRequest(t, func(t *testing.T, key, version int16) {
		r := rand.New(rand.NewPCG(uint64(key), uint64(version)))
		for i := range int32(50) {
			want := randomRequest(r, key, version)
			frame := formatter.AppendRequest(nil, want, i)[4:]
			if key == keyControlledShutdown && version == 0 {
				frame = want.AppendTo(frame) // which the formatter forgets
			}
			h, body, err := ReadHeader(frame)
			if err != nil || h.Key != key || h.Version != version || h.CorrelationID != i {
				t.Fatalf("header %+v, %v", h, err)
			}
			if id := string(h.ClientID); id != "client" && (key != keyControlledShutdown || version != 0) {
				t.Fatalf("client id %q", id)
			}
			got := kmsg.RequestForKey(key)
			if err := DecodeRequest(got, version, body); err != nil {
				t.Fatal(err)
			}
			// What the version has is compared by encoding it again.
			if !bytes.Equal(got.AppendTo(nil), want.AppendTo(nil)) {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		}
	})
}

// Apache 3.9.2 answers this request with two U+FFFD as the topic's name.
func TestStringsAreMadeValid(t *testing.T) {
	req := kmsg.NewPtrMetadataRequest()
	if err := DecodeRequest(req, 1, []byte("\x00\x00\x00\x02\x00\x02\xff\xfe\x00\x02ok")); err != nil {
		t.Fatal(err)
	}
	if a, b := *req.Topics[0].Topic, *req.Topics[1].Topic; a != "\uFFFD\uFFFD" || b != "ok" {
		t.Errorf("topics %q and %q", a, b)
	}
}

// Apache's generated readers throw at strings that no field of the old form can hold, and a compact one can announce. Bytes may be longer.
func TestStringsHaveTheirLength(t *testing.T) {
	commit := func(group int) []byte {
		r := kmsg.NewPtrOffsetCommitRequest()
		r.Version, r.Group = 8, strings.Repeat("g", group)
		return r.AppendTo(nil)
	}
	sync := func(assignment int) []byte {
		r := kmsg.NewPtrSyncGroupRequest()
		r.Version, r.GroupAssignment = 5, []kmsg.SyncGroupRequestGroupAssignment{{MemberAssignment: make([]byte, assignment)}}
		return r.AppendTo(nil)
	}
	join := func(instance int) []byte {
		r := kmsg.NewPtrJoinGroupRequest()
		id := strings.Repeat("i", instance)
		r.Version, r.InstanceID = 9, &id
		return r.AppendTo(nil)
	}
	metadata := func(invalid int) []byte {
		b := appendInt32(nil, 1)
		return append(appendInt16(b, int16(invalid)), strings.Repeat("\xff", invalid)...)
	}
	for _, test := range []struct {
		name    string
		request kmsg.Request
		version int16
		body    []byte
		ok      bool
	}{
		{"the longest", new(kmsg.OffsetCommitRequest), 8, commit(0x7fff), true},
		{"one more", new(kmsg.OffsetCommitRequest), 8, commit(0x8000), false},
		{"one that may be null", new(kmsg.JoinGroupRequest), 9, join(0x8000), false},
		{"bytes", new(kmsg.SyncGroupRequest), 5, sync(0x8000), true},
		{"the longest that is not UTF-8", new(kmsg.MetadataRequest), 1, metadata(0x7fff / 3), true},
		{"too long once it is", new(kmsg.MetadataRequest), 1, metadata(0x7fff/3 + 1), false},
	} {
		if err := DecodeRequest(test.request, test.version, test.body); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// Headers as Apache 3.9.2 reads them, recorded.
func TestReadHeader(t *testing.T) {
	header := func(key, version int16, rest string) []byte {
		b := appendInt16(appendInt16(nil, key), version)
		return append(appendInt32(b, 7), rest...)
	}
	for _, tt := range []struct {
		name     string
		frame    []byte
		clientID string
		body     string
		ok       bool
	}{
		{"client id", header(18, 0, "\x00\x05probebody"), "probe", "body", true},
		{"null client id", header(18, 0, "\xff\xffbody"), "", "body", true},
		{"client id of length -2", header(18, 0, "\xff\xfebody"), "", "body", true},
		{"empty client id", header(18, 0, "\x00\x00body"), "", "body", true},
		{"client id cut", header(18, 0, "\x00\x09abc"), "", "", false},
		{"no client id", header(18, 0, ""), "", "", false},
		{"seven bytes", header(18, 0, "")[:7], "", "", false},
		{"controlled shutdown v0", header(7, 0, "body"), "", "body", true},
		{"controlled shutdown v1", header(7, 1, "\x00\x01abody"), "a", "body", true},
		{"flexible", header(18, 3, "\x00\x01a\x00body"), "a", "body", true},
		{"flexible of no version", header(18, 99, "\x00\x01a\x00body"), "a", "body", true},
		{"below all versions", header(18, -1, "\x00\x01abody"), "a", "body", true},
		{"unknown tags", header(18, 3, "\x00\x01a\x02\x06\x01z\x05\x00body"), "a", "body", true},
		{"tags that are not there", header(18, 3, "\x00\x01a\x02"), "", "", false},
		{"2^32-1 tags", header(18, 3, "\x00\x01a\xff\xff\xff\xff\x0f"), "", "", false},
		{"zero in five bytes", header(18, 3, "\x00\x01a\x80\x80\x80\x80\x00body"), "a", "body", true},
		{"zero and bits beyond 32", header(18, 3, "\x00\x01a\x80\x80\x80\x80\x10body"), "a", "body", true},
		{"varint of six bytes", header(18, 3, "\x00\x01a\x80\x80\x80\x80\x80\x00body"), "", "", false},
		{"unknown key", header(999, 0, "\x00\x01a"), "", "", false},
	} {
		h, body, err := ReadHeader(tt.frame)
		if (err == nil) != tt.ok || string(h.ClientID) != tt.clientID && tt.ok || string(body) != tt.body {
			t.Errorf("%s: client id %q, body %q, %v", tt.name, h.ClientID, body, err)
		}
	}
	if _, _, err := ReadHeader(header(999, 0, "")); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("unknown key: %v", err)
	}
}

func TestResponsesHaveTheirHeader(t *testing.T) {
	eachRequest(t, func(t *testing.T, key, version int16) {
		resp := kmsg.ResponseForKey(key)
		resp.SetVersion(version)
		b := AppendResponse(nil, 77, resp)
		want := binary.BigEndian.AppendUint32(nil, 77)
		if resp.IsFlexible() && key != keyAPIVersions {
			want = append(want, 0)
		}
		want = resp.AppendTo(want)
		if size := binary.BigEndian.Uint32(b); int(size) != len(b)-4 || !bytes.Equal(b[4:], want) {
			t.Errorf("%x, want %x", b, want)
		}
	})
}

func FuzzRequest(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID("client"))
	for key, last := range lastVersions {
		f.Add(formatter.AppendRequest(nil, randomRequest(r, key, last), 1)[4:])
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, body, err := ReadHeader(frame)
		if err != nil || h.Version > lastVersions[h.Key] {
			return
		}
		req := kmsg.RequestForKey(h.Key)
		if DecodeRequest(req, h.Version, body) != nil {
			return
		}
		again := kmsg.RequestForKey(h.Key)
		if err := DecodeRequest(again, h.Version, req.AppendTo(nil)); err != nil {
			t.Fatalf("encoded again: %v", err)
		}
		if !reflect.DeepEqual(req.AppendTo(nil), again.AppendTo(nil)) {
			t.Fatalf("%+v became %+v", req, again)
		}
	})
}
