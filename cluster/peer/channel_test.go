package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
	"gokafka/cluster/replica"
)

// broker answers requests on loopback as it is told: ApiVersions with what it speaks, everything else with answer.
func broker(t *testing.T, speaks map[int16]int16, answer func(key, version int16, correlationID int32) []byte) Options {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			converse(c, speaks, answer)
			c.Close()
		}
	}()
	addr := l.Addr().(*net.TCPAddr)
	return Options{ClientID: "t", Timeout: 10 * time.Second, Endpoint: func(context.Context) (cluster.Endpoint, error) {
		return cluster.Endpoint{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: int32(addr.Port)}, nil
	}}
}

func converse(c net.Conn, speaks map[int16]int16, answer func(key, version int16, correlationID int32) []byte) {
	for {
		frame, _, err := readFrame(c, nil)
		if err != nil {
			return
		}
		key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
		id := int32(binary.BigEndian.Uint32(frame[4:]))
		out := framed(id, versionsOf(speaks))
		if key != int16(kmsg.ApiVersions) {
			out = answer(key, version, id)
		}
		if out == nil {
			return
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func versionsOf(speaks map[int16]int16) []byte {
	resp := kmsg.NewPtrApiVersionsResponse()
	for key, highest := range speaks {
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key, MaxVersion: highest})
	}
	return resp.AppendTo(nil)
}

func framed(id int32, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(id))
	return append(b, body...)
}

var update = &cluster.UpdateMetadataRequest{ControllerID: 1, ControllerEpoch: 2, BrokerEpoch: 3}

func TestChannelSpeaksTheHighestCommonVersion(t *testing.T) {
	var spoken int16
	p := New(broker(t, map[int16]int16{6: 5}, func(_, version int16, id int32) []byte {
		spoken = version
		return framed(id, []byte{0, 0})
	}))
	defer p.Close()
	for range 2 {
		if err := p.UpdateMetadata(t.Context(), update); err != nil {
			t.Fatal(err)
		}
	}
	if spoken != 5 {
		t.Errorf("version %d", spoken)
	}
}

func TestChannelRefusesBrokersThatAreTooOld(t *testing.T) {
	p := New(broker(t, map[int16]int16{6: 4}, nil))
	defer p.Close()
	if err := p.UpdateMetadata(t.Context(), update); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

// Whatever comes back, it is an error, and the next request gets a connection of its own.
func TestChannelSurvivesBadAnswers(t *testing.T) {
	var next []byte
	good := func(id int32) []byte { return framed(id, []byte{0, 0, 0, 0}) }
	p := New(broker(t, map[int16]int16{6: 8}, func(_, _ int16, id int32) []byte {
		if bad := next; bad != nil {
			next = nil
			return bad
		}
		return good(id)
	}))
	defer p.Close()
	for name, bad := range map[string][]byte{
		"wrong correlation id": framed(77, []byte{0, 0, 0, 0}),
		"negative size":        {0xff, 0xff, 0xff, 0xff},
		"size of nothing":      {0, 0, 0, 0},
		"no body":              framed(2, nil),
		"tags":                 framed(2, []byte{1, 0, 0, 0}),
		"cut":                  framed(2, []byte{0, 0}),
	} {
		p.Close() // correlation ids go on, and the bad answers are made for the second of a channel
		p.last = 0
		next = bad
		if err := p.UpdateMetadata(t.Context(), update); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := p.UpdateMetadata(t.Context(), update); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

func TestChannelHangsUpWhenItsContextEnds(t *testing.T) {
	asked := make(chan struct{})
	release := make(chan struct{})
	p := New(broker(t, map[int16]int16{6: 8}, func(int16, int16, int32) []byte {
		close(asked)
		<-release
		return nil
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if err := p.UpdateMetadata(ctx, update); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
}

// A broker that is off does not even refuse a connection.
func TestCloseEndsConnecting(t *testing.T) {
	connecting := make(chan struct{})
	p := New(Options{Endpoint: func(ctx context.Context) (cluster.Endpoint, error) {
		close(connecting)
		<-ctx.Done()
		return cluster.Endpoint{}, ctx.Err()
	}})
	go func() {
		<-connecting
		p.Close()
	}()
	if err := p.UpdateMetadata(t.Context(), update); !errors.Is(err, context.Canceled) || !errors.Is(err, replica.ErrNotSent) {
		t.Error(err)
	}
}

// Whoever asked knows whether what it asked for may be done.
func TestChannelTellsWhatWasNotSent(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	nobody := New(Options{Endpoint: func(context.Context) (cluster.Endpoint, error) {
		return cluster.Endpoint{Host: "127.0.0.1", Port: int32(closed.Addr().(*net.TCPAddr).Port)}, nil
	}})
	silent := New(broker(t, map[int16]int16{6: 8}, func(int16, int16, int32) []byte { return nil }))
	defer silent.Close()
	for name, test := range map[string]struct {
		p       *Peer
		notSent bool
	}{"nobody there": {nobody, true}, "no answer": {silent, false}} {
		if err := test.p.UpdateMetadata(t.Context(), update); err == nil || errors.Is(err, replica.ErrNotSent) != test.notSent {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAbortResets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if err := abort(near); err != nil {
		t.Error(err)
	}
	if _, err := far.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the other end reads %v", err)
	}
}

// What a frame announces is not believed before it comes.
func TestReadFrameGrowsWithWhatArrives(t *testing.T) {
	head := binary.BigEndian.AppendUint32(nil, 1<<29)
	_, buf, err := readFrame(io.MultiReader(bytes.NewReader(head), bytes.NewReader(make([]byte, 100))), nil)
	if err == nil || cap(buf) > 2*readFirst {
		t.Errorf("%d bytes for 100, error %v", cap(buf), err)
	}
	whole := framed(1, bytes.Repeat([]byte("x"), 3<<20))
	frame, buf, err := readFrame(bytes.NewReader(whole), buf)
	if err != nil || !bytes.Equal(frame, whole[4:]) {
		t.Errorf("%d bytes of %d: %v", len(frame), len(whole)-4, err)
	}
	again, _, err := readFrame(bytes.NewReader(whole), buf)
	if err != nil || &again[0] != &frame[0] {
		t.Errorf("a buffer that is large enough is not used again: %v", err)
	}
	if _, _, err := readFrame(bytes.NewReader(append(whole, 0)), buf); !errors.Is(err, errBadAnswer) {
		t.Errorf("a byte too many: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(int16(17), []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, version int16, b []byte) {
		req := kmsg.NewPtrFetchRequest()
		req.Version = fetchMin + version&7
		if len(b) < 4 || req.Version > fetchMax {
			return
		}
		resp, err := decode(req, 1, b)
		if err != nil {
			return
		}
		var s session
		s.read(nil, resp.(*kmsg.FetchResponse))
	})
}
