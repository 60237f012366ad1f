package protocol

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// lastVersions is the last version of every request that Apache Kafka 3.9 serves in ZooKeeper mode.
var lastVersions = map[int16]int16{
	0: 11, 1: 17, 2: 9, 3: 12, 4: 7, 5: 4, 6: 8, 7: 3, 8: 9, 9: 9, 10: 6, 11: 9, 12: 4, 13: 5, 14: 5, 15: 5, 16: 5, 17: 1, 18: 4,
	19: 7, 20: 6, 21: 2, 22: 5, 23: 4, 24: 5, 25: 4, 26: 4, 27: 1, 28: 4, 29: 3, 30: 3, 31: 3, 32: 4, 33: 2, 34: 2, 35: 4, 36: 2,
	37: 3, 38: 3, 39: 2, 40: 2, 41: 3, 42: 2, 43: 2, 44: 1, 45: 0, 46: 0, 47: 0, 48: 1, 49: 1, 50: 0, 51: 0, 56: 3, 57: 1, 58: 0,
	60: 1, 61: 0, 65: 0, 66: 1, 67: 0, 68: 0, 69: 0,
}

func eachRequest(t *testing.T, f func(t *testing.T, key, version int16)) {
	for _, s := range schemas {
		last, ok := lastVersions[s.key]
		if !ok {
			t.Errorf("schema of key %d, which is not served", s.key)
		}
		for version := int16(0); version <= last; version++ {
			t.Run(fmt.Sprintf("%s/%d", kmsg.NameForKey(s.key), version), func(t *testing.T) { f(t, s.key, version) })
		}
	}
	if len(schemas) != len(lastVersions) {
		t.Errorf("%d schemas for %d requests", len(schemas), len(lastVersions))
	}
}

// randomRequest fills every field of a request, to be encoded in one of its versions.
func randomRequest(r *rand.Rand, key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	fill(r, reflect.ValueOf(req).Elem(), 3)
	req.SetVersion(version)
	return req
}

func fill(r *rand.Rand, v reflect.Value, arrays int) {
	switch v.Kind() {
	case reflect.Struct:
		if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
			for range r.IntN(8) / 6 {
				tags.Set(100+uint32(r.IntN(1000)), []byte(randomString(r, 20)))
			}
			return
		}
		for i := range v.NumField() {
			fill(r, v.Field(i), arrays)
		}
	case reflect.Pointer:
		if r.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), arrays)
		}
	case reflect.Slice:
		if r.IntN(6) == 0 {
			return
		}
		n := r.IntN(arrays + 1)
		if v.Type().Elem().Kind() == reflect.Uint8 {
			n = r.IntN(40)
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, v.Index(i), arrays)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), arrays)
		}
	case reflect.String:
		v.SetString(randomString(r, 20))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(int8(r.IntN(256))))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(uint64(r.IntN(256)))
	case reflect.Float64:
		v.SetFloat(r.Float64())
	default:
		panic("cannot fill " + v.Kind().String())
	}
}

// The walker ends where kmsg's encoder ended, and finds every cut.
func TestWalkerConsumesWhatKmsgEncodes(t *testing.T) {
	eachRequest(t, func(t *testing.T, key, version int16) {
		r := rand.New(rand.NewPCG(uint64(key), uint64(version)))
		for range 100 {
			body := randomRequest(r, key, version).AppendTo(nil)
			w := walker{b: body, left: memoryBound(len(body))}
			if err := w.structure(shapes()[key].versions[version]); err != nil {
				t.Fatalf("%x: %v, with %d bytes left", body, err, len(w.b))
			}
			if len(w.b) > 0 {
				t.Fatalf("%x: %d bytes left", body, len(w.b))
			}
			if n := len(body); n > 0 {
				if cut := r.IntN(n); CheckRequest(key, version, body[:cut]) == nil {
					t.Fatalf("%x: not missed when cut at %d", body, cut)
				}
			}
			if err := CheckRequest(key, version, append(body, 1, 2, 3)); err != nil {
				t.Fatalf("trailing bytes: %v", err)
			}
		}
	})
}

func TestFlexibleVersionsAreKmsgs(t *testing.T) {
	eachRequest(t, func(t *testing.T, key, version int16) {
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		if got, _ := isFlexible(key, version); got != req.IsFlexible() {
			t.Errorf("flexible: %v, kmsg says %v", got, req.IsFlexible())
		}
	})
}

// Every array of structures is charged at least what kmsg's structure takes.
func TestShapesAreAsLargeAsKmsgs(t *testing.T) {
	eachRequest(t, func(t *testing.T, key, version int16) {
		want := elementSizes(reflect.TypeOf(kmsg.RequestForKey(key)).Elem(), nil)
		for name, size := range shapeSizes(shapes()[key].versions[version], map[string]int{}) {
			if !slices.ContainsFunc(want, func(w int) bool { return size >= w }) || len(want) == 0 {
				t.Errorf("%s: %d bytes, kmsg has structures of %v", name, size, want)
			}
		}
	})
}

func elementSizes(ty reflect.Type, sizes []int) []int {
	switch ty.Kind() {
	case reflect.Slice:
		if ty.Elem().Kind() == reflect.Struct {
			sizes = append(sizes, int(ty.Elem().Size()))
		}
		return elementSizes(ty.Elem(), sizes)
	case reflect.Struct:
		for i := range ty.NumField() {
			sizes = elementSizes(ty.Field(i).Type, sizes)
		}
	}
	return sizes
}

func shapeSizes(s *shape, sizes map[string]int) map[string]int {
	for _, f := range s.fields {
		if f.kind == kindStructs {
			sizes[f.name] = f.shape.size
			shapeSizes(f.shape, sizes)
		}
	}
	return sizes
}

// A frame is kept exactly for requests in which kmsg has bytes.
func TestKeepsFrame(t *testing.T) {
	eachRequest(t, func(t *testing.T, key, version int16) {
		want := hasBytes(reflect.TypeOf(kmsg.RequestForKey(key)).Elem())
		if got := KeepsFrame(key, version); got != want {
			t.Errorf("keeps its frame: %v, has bytes: %v", got, want)
		}
	})
}

func hasBytes(ty reflect.Type) bool {
	switch ty.Kind() {
	case reflect.Slice:
		return ty.Elem().Kind() == reflect.Uint8 || hasBytes(ty.Elem())
	case reflect.Struct:
		for i := range ty.NumField() {
			if hasBytes(ty.Field(i).Type) {
				return true
			}
		}
	}
	return false
}

func uvarint(v uint64) []byte {
	var e encoder
	e.uvarint(int(v))
	return e.b
}

// Case 95: a number of tags that are not there. kmsg would count them all.
func TestTagCountBeyondTheEnd(t *testing.T) {
	for _, count := range []uint64{1, 1 << 24, 1<<32 - 1} {
		body := slices.Concat([]byte{2, 'a', 2, 'b'}, uvarint(count))
		if err := CheckRequest(18, 3, body); err == nil {
			t.Errorf("%d tags in an empty rest passed", count)
		}
	}
}

// Case 96: an array at every level announces as many elements as there are bytes left.
func TestArrayAsLongAsTheRest(t *testing.T) {
	const filler = 64 << 10
	eachRequest(t, func(t *testing.T, key, version int16) {
		flexible, _ := isFlexible(key, version)
		r := rand.New(rand.NewPCG(uint64(key), uint64(version)))
		body := randomRequest(r, key, version).AppendTo(nil)
		length := []byte{0, 1, 0, 0} // 64 Ki
		if flexible {
			length = uvarint(filler + 1)
		}
		for at := 0; at < len(body); at += 1 + r.IntN(8) {
			attack := slices.Concat(body[:at], length, make([]byte, filler))
			if CheckRequest(key, version, attack) == nil {
				checkDecodedSize(t, key, version, attack)
			}
		}
	})
}

// checkDecodedSize decodes what passed the guard and holds it to the bound that the guard promises.
func checkDecodedSize(t testing.TB, key, version int16, body []byte) {
	t.Helper()
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := req.ReadFrom(body)
	runtime.ReadMemStats(&after)
	bound := memoryBound(len(body))
	if raceEnabled {
		bound *= 2
	}
	if got := int(after.TotalAlloc - before.TotalAlloc); got > bound {
		t.Errorf("key %d version %d: %d bytes take %d decoded (%v), the bound is %d: %.60x", key, version, len(body), got, err, bound, body)
	}
}

// Requests as large as clusters can make them, in their least favourable form, pass.
func TestLargeHonestRequestsPass(t *testing.T) {
	metadata := func(topics, name int) kmsg.Request {
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 1
		for i := range topics {
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = kmsg.StringPtr(fmt.Sprintf("%0*d", name, i))
			req.Topics = append(req.Topics, topic)
		}
		return req
	}
	update := kmsg.NewPtrUpdateMetadataRequest()
	update.Version = 8
	for range 10 {
		topic := kmsg.NewUpdateMetadataRequestTopicState()
		for p := range 20_000 {
			partition := kmsg.NewUpdateMetadataRequestTopicPartition()
			partition.Partition, partition.ISR, partition.Replicas = int32(p), []int32{1}, []int32{1}
			topic.PartitionStates = append(topic.PartitionStates, partition)
		}
		update.TopicStates = append(update.TopicStates, topic)
	}
	offsets := kmsg.NewPtrOffsetFetchRequest()
	offsets.Version = 7
	for i := range 100_000 {
		topic := kmsg.NewOffsetFetchRequestTopic()
		topic.Topic, topic.Partitions = fmt.Sprint(i), []int32{0}
		offsets.Topics = append(offsets.Topics, topic)
	}
	for name, req := range map[string]kmsg.Request{
		"every topic of one character": metadata(62, 1),
		"every topic of two":           metadata(3844, 2),
		"100 000 topics":               metadata(100_000, 6),
		"200 000 partitions":           update,
		"offsets of 100 000 topics":    offsets,
	} {
		body := req.AppendTo(nil)
		if err := CheckRequest(req.Key(), req.GetVersion(), body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		checkDecodedSize(t, req.Key(), req.GetVersion(), body)
	}
}

func TestMemoryBound(t *testing.T) {
	const mib = 1 << 20
	for n, want := range map[int]int{0: mib, 100: mib + 800, mib: 9 * mib, 20 * mib: 161 * mib, 30 * mib: 216 * mib, 100 * mib: 496 * mib} {
		if got := memoryBound(n); got != want {
			t.Errorf("%d bytes may take %d, want %d", n, got, want)
		}
	}
}

// What Apache 3.9.2 reads, and where it closes the connection, recorded.
func TestNullsAsInApache(t *testing.T) {
	for _, tt := range []struct {
		name         string
		key, version int16
		body         string
		ok           bool
	}{
		{"metadata v1, all topics", 3, 1, "\xff\xff\xff\xff", true},
		{"metadata v1, array length -2", 3, 1, "\xff\xff\xff\xfe", true},
		{"metadata v0, null array", 3, 0, "\xff\xff\xff\xff", false},
		{"metadata v0, array length -2", 3, 0, "\xff\xff\xff\xfe", false},
		{"metadata v9, null array", 3, 9, "\x00\x00\x00\x00\x00", true},
		{"metadata v9, array length -2", 3, 9, "\xff\xff\xff\xff\x0f\x00\x00\x00\x00", true},
		{"metadata v9, array length 2^31-1", 3, 9, "\x80\x80\x80\x80\x08\x00\x00\x00\x00", false},
		{"metadata v1, longer array than there is", 3, 1, "\x00\x00\x00\x03\x00\x01a", false},
		{"metadata v0, null name", 3, 0, "\x00\x00\x00\x01\xff\xff", false},
		{"produce v0, null records", 0, 0, "\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff", true},
		{"describe groups v0, null array", 15, 0, "\xff\xff\xff\xff", false},
		{"describe groups v5, null array", 15, 5, "\x00\x00\x00", false},
		{"join group, null metadata", 11, 0, "\x00\x01g\x00\x00\x27\x10\x00\x00\x00\x08consumer\x00\x00\x00\x01\x00\x01a\xff\xff\xff\xff", false},
		{"api versions v3, null name", 18, 3, "\x00\x01\x00", false},
		{"api versions v3, no body", 18, 3, "", false},
		{"six bytes of varint", 18, 3, "\x80\x80\x80\x80\x80\x00", false},
		{"unknown key", 99, 0, "", false},
		{"negative version", 18, -1, "", false},
		{"version far off", 18, 99, "", false},
	} {
		if err := CheckRequest(tt.key, tt.version, []byte(tt.body)); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Whatever the bytes, the walker ends, and what it lets pass decodes within its bound.
func FuzzCheckRequest(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for key, last := range lastVersions {
		f.Add(key, last, randomRequest(r, key, last).AppendTo(nil))
		f.Add(key, int16(0), randomRequest(r, key, 0).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if last, ok := lastVersions[key]; ok && version <= last && CheckRequest(key, version, body) == nil {
			checkDecodedSize(t, key, version, body)
		}
	})
}

func BenchmarkCheckRequest(b *testing.B) {
	produce := kmsg.NewPtrProduceRequest()
	produce.Version = 11
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "orders"
	for p := range 10 {
		partition := kmsg.NewProduceRequestTopicPartition()
		partition.Partition, partition.Records = int32(p), make([]byte, 16<<10)
		topic.Partitions = append(topic.Partitions, partition)
	}
	produce.Topics = append(produce.Topics, topic)
	body := produce.AppendTo(nil)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := CheckRequest(0, 11, body); err != nil {
			b.Fatal(err)
		}
	}
}
