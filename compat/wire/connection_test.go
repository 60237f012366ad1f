package wire

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// raw sends a frame's content as it is; the answer, the close, or the silence must be the same.
func raw(content func() []byte) func(x *Exchange) {
	return func(x *Exchange) { x.Frame(content()) }
}

// plain sends bytes that are no frame at all.
func plain(b []byte) func(x *Exchange) {
	return func(x *Exchange) { x.Bytes(b) }
}

// header is a request header of version 1: key, version, correlation id, client id.
func header(key, version int16) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, correlation)
	return append(b, 0, 1, 'c')
}

// body is a header and what follows it.
func body(key, version int16, rest ...byte) func() []byte {
	return func() []byte { return append(header(key, version), rest...) }
}

// encoded is a request as it ought to be, changed by f.
func encoded(req kmsg.Request, version int16, f func([]byte) []byte) func() []byte {
	return func() []byte {
		req.SetVersion(version)
		b := kmsg.NewRequestFormatter(kmsg.FormatterClientID("c")).AppendRequest(nil, req, correlation)
		return f(b[4:])
	}
}

func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }

func trailing(n int) func([]byte) []byte {
	return func(b []byte) []byte { return append(b, make([]byte, n)...) }
}

func versions(name, version string) *kmsg.ApiVersionsRequest {
	r := kmsg.NewPtrApiVersionsRequest()
	r.ClientSoftwareName, r.ClientSoftwareVersion = name, version
	return r
}

func announced(size uint32, content string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, size), content...)
}

var uvarintMax = []byte{0xff, 0xff, 0xff, 0xff, 0x0f}

var connectionCases = []Case{
	{"plain", kmsg.ApiVersions, 0, 0, func(x *Exchange) { x.Send(versions("compat", "1.0")) }},
	{"twice on a connection", kmsg.ApiVersions, 0, 0, func(x *Exchange) { x.Send(versions("compat", "1.0")); x.Send(versions("compat", "1.0")) }},
	{"bad name", kmsg.ApiVersions, 0, 0, func(x *Exchange) { x.Send(versions("com pat", "1.0")) }},
	{"no name", kmsg.ApiVersions, 0, 0, func(x *Exchange) { x.Send(versions("", "")) }},
	{"name ends in a dot", kmsg.ApiVersions, 3, 0, func(x *Exchange) { x.Send(versions("compat.", "1.0")) }},
	{"bad version", kmsg.ApiVersions, 3, 0, func(x *Exchange) { x.Send(versions("compat", "1.0-")) }},
	{"version 5", kmsg.ApiVersions, 0, 1, func(x *Exchange) { x.Frame(append(header(18, 5), 0, 1, 1, 0)) }},
	{"version 99", kmsg.ApiVersions, 0, 1, func(x *Exchange) { x.Frame(append(header(18, 99), 0, 1, 1, 0)) }},
	{"version 99, body of noise", kmsg.ApiVersions, 0, 1, func(x *Exchange) { x.Frame(append(header(18, 99), 0, 0xff, 0xff)) }},
	{"version -1", kmsg.ApiVersions, 0, 1, func(x *Exchange) { x.Frame(header(18, -1)) }},
	{"version 99, then 0 on the same connection", kmsg.ApiVersions, 0, 1, func(x *Exchange) {
		x.Frame(append(header(18, 99), 0, 1, 1, 0))
		x.Send(versions("compat", "1.0"))
	}},
	{"empty v3 strings cut", kmsg.ApiVersions, 3, 3, raw(body(18, 3, 0, 5, 'a'))},

	{"handshake", kmsg.SASLHandshake, 0, 0, func(x *Exchange) {
		r := kmsg.NewPtrSASLHandshakeRequest()
		r.Mechanism = "PLAIN"
		x.Send(r)
		x.Send(versions("compat", "1.0"))
	}},
	{"handshake without mechanism", kmsg.SASLHandshake, 0, 0, func(x *Exchange) { x.Send(kmsg.NewPtrSASLHandshakeRequest()) }},

	{"without a handshake", kmsg.SASLAuthenticate, 0, 0, func(x *Exchange) { x.Send(kmsg.NewPtrSASLAuthenticateRequest()) }},

	{"key -1", kmsg.ApiVersions, 0, 1, raw(body(-1, 0))},
	{"key 32767", kmsg.ApiVersions, 0, 1, raw(body(32767, 0))},
	{"key 94", kmsg.ApiVersions, 0, 1, raw(body(94, 0))},
	{"key of a Raft API", kmsg.ApiVersions, 0, 1, raw(body(52, 0, 0, 0, 0, 0))},
	{"key of telemetry", kmsg.ApiVersions, 0, 1, raw(body(71, 0, 0, 0, 0, 0))},
	{"key 75, DescribeTopicPartitions", kmsg.ApiVersions, 0, 1, raw(body(75, 0, 0, 1, 0, 0, 0, 0))},
	{"Metadata version 99", kmsg.Metadata, 0, 1, raw(body(3, 99, 0, 0, 0, 0))},
	{"Metadata version -1", kmsg.Metadata, 0, 1, raw(body(3, -1, 0, 0, 0, 0))},
	{"Metadata version 13", kmsg.Metadata, 0, 1, raw(body(3, 13, 0, 1, 0, 0, 0))},
	{"Produce version 12", kmsg.Metadata, 0, 1, raw(body(0, 12, 0, 0, 0, 1, 0, 0, 0))},

	{"frame of size 0", kmsg.Metadata, 0, 1, raw(func() []byte { return nil })},
	{"frame of 1 byte", kmsg.Metadata, 0, 1, raw(func() []byte { return []byte{0} })},
	{"frame of 7 bytes", kmsg.Metadata, 0, 1, raw(func() []byte { return header(3, 1)[:7] })},
	{"frame of 8 bytes", kmsg.Metadata, 0, 1, raw(func() []byte { return header(3, 1)[:8] })},
	{"size -1", kmsg.Metadata, 0, 1, plain(announced(0xffffffff, "hello"))},
	{"size 2^31-1", kmsg.Metadata, 0, 1, plain(announced(0x7fffffff, "hello"))},
	{"size one above the limit", kmsg.Metadata, 0, 1, plain(announced(100<<20+1, "hello"))},
	{"HTTP", kmsg.Metadata, 0, 1, plain([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))},
	{"TLS hello", kmsg.Metadata, 0, 1, plain([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))},
	{"SSH banner", kmsg.Metadata, 0, 1, plain([]byte("SSH-2.0-OpenSSH_9.2\r\n"))},
	{"SMTP", kmsg.Metadata, 0, 1, plain([]byte("EHLO example.org\r\n"))},
	{"noise", kmsg.Metadata, 0, 1, plain(bytes.Repeat([]byte{0xa5, 0x5a, 0xc3}, 1<<16))},

	{"client id null", kmsg.Metadata, 0, 1, raw(func() []byte { return append(header(3, 1)[:8], 0xff, 0xff, 0, 0, 0, 0) })},
	{"client id of length -2", kmsg.Metadata, 0, 1, raw(func() []byte { return append(header(3, 1)[:8], 0xff, 0xfe, 0, 0, 0, 0) })},
	{"client id longer than the frame", kmsg.Metadata, 0, 1, raw(func() []byte { return append(header(3, 1)[:8], 0x7f, 0xff, 0, 0, 0, 0) })},
	{"client id not UTF-8", kmsg.Metadata, 0, 1, raw(func() []byte { return append(header(3, 1)[:8], 0, 2, 0xff, 0xfe, 0, 0, 0, 0) })},
	{"header tags: count huge", kmsg.Metadata, 0, 1, raw(func() []byte { return append(header(3, 9), uvarintMax...) })},
	{"header tags: one unknown", kmsg.Metadata, 0, 1, raw(body(3, 9, 1, 99, 2, 'a', 'b', 1, 1, 0, 0, 0))},
	{"header tags: size beyond the frame", kmsg.Metadata, 0, 1, raw(body(3, 9, 1, 99, 0x7f, 'a'))},
	{"header tags: out of order", kmsg.Metadata, 0, 1, raw(body(3, 9, 2, 99, 1, 'a', 98, 1, 'b', 1, 0, 0, 0, 0))},
	{"header tags: one twice", kmsg.Metadata, 0, 1, raw(body(3, 9, 2, 99, 1, 'a', 99, 1, 'b', 1, 0, 0, 0, 0))},
	{"header tag 0", kmsg.Metadata, 0, 1, raw(body(3, 9, 1, 0, 2, 'a', 'b', 1, 1, 0, 0, 0))},
	{"body tags: one unknown", kmsg.Metadata, 0, 1, raw(body(3, 9, 0, 1, 1, 0, 0, 1, 99, 2, 'a', 'b'))},
	{"body tags: missing", kmsg.Metadata, 0, 1, raw(body(3, 9, 0, 1, 1, 0, 0))},
	{"varint of 10 bytes", kmsg.Metadata, 0, 1, raw(body(3, 9, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1))},
	{"varint of 6 bytes", kmsg.Metadata, 0, 1, raw(body(3, 9, 0, 0x81, 0x80, 0x80, 0x80, 0x80, 0, 1, 0, 0, 0))},
	{"varint padded to 5 bytes", kmsg.Metadata, 0, 1, raw(body(3, 9, 0, 0x81, 0x80, 0x80, 0x80, 0, 1, 0, 0, 0))},
	{"boolean 2", kmsg.Metadata, 0, 1, raw(body(3, 9, 0, 1, 2, 3, 0xff, 0))},

	{"array of -2 topics", kmsg.Metadata, 0, 1, raw(body(3, 1, 0xff, 0xff, 0xff, 0xfe))},
	{"array of -1 topics in v0", kmsg.Metadata, 0, 1, raw(body(3, 0, 0xff, 0xff, 0xff, 0xff))},
	{"array of 2^31-1 topics", kmsg.Metadata, 0, 1, raw(body(3, 1, 0x7f, 0xff, 0xff, 0xff))},
	{"array longer than the frame", kmsg.Metadata, 0, 1, raw(body(3, 1, 0, 0, 0, 9, 0, 1, 'a'))},
	{"compact array huge", kmsg.Metadata, 0, 1, raw(func() []byte { return append(body(3, 9, 0)(), uvarintMax...) })},
	{"topic name of length -1", kmsg.Metadata, 0, 1, raw(body(3, 1, 0, 0, 0, 1, 0xff, 0xff))},
	{"topic name of length -2", kmsg.Metadata, 0, 1, raw(body(3, 1, 0, 0, 0, 1, 0xff, 0xfe))},
	{"topic name longer than the frame", kmsg.Metadata, 0, 1, raw(body(3, 1, 0, 0, 0, 1, 0x7f, 0xff, 'a'))},
	{"topic name null in v9", kmsg.Metadata, 0, 1, raw(body(3, 9, 0, 2, 0, 0, 1, 0, 0, 0))},
	{"topic name not UTF-8", kmsg.Metadata, 0, 1, raw(body(3, 4, 0, 0, 0, 1, 0, 2, 0xff, 0xfe, 0))},
	{"body cut", kmsg.Metadata, 0, 1, raw(body(3, 4, 0, 0))},
	{"body missing", kmsg.Metadata, 0, 1, raw(body(3, 4))},
	{"trailing bytes", kmsg.Metadata, 0, 1, raw(body(3, 4, 0, 0, 0, 0, 1, 1, 2, 3))},
	{"trailing bytes in v9", kmsg.Metadata, 0, 1, raw(body(3, 9, 0, 1, 1, 0, 0, 0, 1, 2, 3))},

	{"Produce cut by 1", kmsg.Produce, 0, 0, func(x *Exchange) { x.Frame(encoded(produce(1, x.N, 0, good), x.V, cut(1))()) }},
	{"Produce cut in the records", kmsg.Produce, 0, 0, func(x *Exchange) { x.Frame(encoded(produce(1, x.N, 0, good), x.V, cut(20))()) }},
	{"Produce, trailing bytes", kmsg.Produce, 9, 9, func(x *Exchange) {
		createTopic(x, x.N, 1)
		x.Frame(encoded(produce(1, x.N, 0, good), x.V, trailing(3))())
	}},
	{"Produce, records longer than the frame", kmsg.Produce, 7, 7, raw(body(0, 7, 0xff, 0xff, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 1))},
	{"Fetch cut by 1", kmsg.Fetch, 0, 0, func(x *Exchange) { x.Frame(encoded(fetch(x.N, [16]byte{}, 0, 0), x.V, cut(1))()) }},
	{"Fetch of 2^31-1 topics", kmsg.Fetch, 4, 4, raw(body(1, 4, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x7f, 0xff, 0xff, 0xff))},
	{"CreateTopics of many topics", kmsg.CreateTopics, 4, 4, raw(body(19, 4, 0x00, 0xff, 0xff, 0xff, 0, 0))},
	{"FindCoordinator cut", kmsg.FindCoordinator, 3, 3, raw(body(10, 3, 0, 9, 'a'))},
	{"JoinGroup cut", kmsg.JoinGroup, 5, 5, raw(body(11, 5, 0, 1, 'g', 0, 0, 0x27, 0x10))},
	{"OffsetCommit, null topic name", kmsg.OffsetCommit, 2, 2, raw(body(8, 2, 0, 1, 'g', 0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0))},

	{"pipelined requests are answered in order", kmsg.ApiVersions, 0, 0, func(x *Exchange) {
		const n = 50
		for _, c := range x.connections() {
			if err := c.SendBytes(pipeline(n, x.V)); err != nil {
				x.T.Error(err)
			}
		}
		for i, c := range x.connections() {
			for want := range uint32(n) {
				b, err := c.Receive()
				if err != nil || binary.BigEndian.Uint32(b) != want {
					x.T.Fatalf("%s: answer %d: %v %x", x.suite.names[i], want, err, clip(b))
				}
			}
		}
	}},
	{"half-closed after a request", kmsg.Metadata, 0, 1, func(x *Exchange) {
		x.Patience(5 * time.Second)
		for _, c := range x.connections() {
			if err := c.SendBytes(pipeline(3, 0)); err != nil {
				x.T.Error(err)
			}
			_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
		}
		for range 4 { // three answers, perhaps, and then the end
			var got Answers
			both(func(i int) { got[i].body, got[i].err = x.connections()[i].Receive() })
			if i := got[0].err == nil; i && got[1].err != nil {
				x.T.Errorf("Apache answered %x, %s %s", got[0].body, x.suite.names[1], outcome(got[1]))
			}
		}
	}},
}

// pipeline is n ApiVersions requests with correlation ids from 0.
func pipeline(n int, version int16) []byte {
	var b []byte
	for id := range int32(n) {
		r := versions("compat", strings.Repeat("1", 3))
		r.Version = version
		b = append(b, kmsg.NewRequestFormatter().AppendRequest(nil, r, id)...)
	}
	return b
}
