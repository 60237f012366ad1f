package log

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gokafka/log/vfs"
	"gokafka/protocol"
)

// compacting is a broker with one compacted log, cleaned only when the test says so.
type compacting struct {
	t   testing.TB
	mem *vfs.Mem
	fs  vfs.FS
	m   *Manager
	l   *Log
	now atomic.Int64 // milliseconds; the background work looks at it too
	// cleaner options and settings
	options CleanerOptions
	config  *Config
}

func newCompacting(t testing.TB, change func(*Config)) *compacting {
	mem := vfs.NewMem()
	c := &compacting{t: t, mem: mem, fs: mem, config: DefaultConfig(), options: CleanerOptions{Disabled: true}}
	c.config.Compact, c.config.Delete = true, false
	c.config.SegmentBytesMax, c.config.IndexIntervalBytes = 1000, 200
	c.config.Compaction.MinCleanableDirtyRatio = 0
	if change != nil {
		change(c.config)
	}
	c.now.Store(1_000_000)
	mem.SetClock(c.clock)
	if err := errors.Join(mem.MkdirAll("/data"), mem.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	c.open()
	return c
}

func (c *compacting) clock() time.Time { return time.UnixMilli(c.now.Load()) }

func (c *compacting) wait(d time.Duration) { c.now.Add(d.Milliseconds()) }

func (c *compacting) open() {
	c.t.Helper()
	var err error
	c.m, err = Open(ManagerOptions{FS: c.fs, Dirs: []string{"/data"}, Identity: Identity{ClusterID: "c", BrokerID: 1}, Defaults: c.config, Cleaner: c.options, Now: c.clock})
	if err != nil {
		c.t.Fatal(err)
	}
	if c.l, err = c.m.Create(protocol.TopicPartition{Topic: "t"}, CreateOptions{IsNew: true}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *compacting) close() {
	c.t.Helper()
	if err := c.m.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// append appends a batch of "key=value" texts; "key" alone is a tombstone. All is committed at once.
func (c *compacting) append(o protocol.BatchOptions, texts ...string) AppendInfo {
	c.t.Helper()
	var records []protocol.Record
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		r := protocol.Record{Timestamp: c.now.Load(), Key: []byte(key)}
		if ok {
			r.Value = []byte(value)
		}
		records = append(records, r)
	}
	return c.appendBytes(must(protocol.AppendBatch(nil, o, records...)), OriginClient)
}

func (c *compacting) appendBytes(b []byte, origin Origin) AppendInfo {
	c.t.Helper()
	info, err := c.l.AppendAsLeader(b, 3, AppendOptions{Origin: origin})
	if err != nil {
		c.t.Fatal(err)
	}
	c.l.SetHighWatermark(c.l.LogEndOffset().Offset)
	return info
}

func (c *compacting) marker(producer int64, kind protocol.MarkerType) {
	c.t.Helper()
	c.appendBytes(must(protocol.MarkerBatch(producer, 0, protocol.Marker{Type: kind}, c.now.Load())), OriginCoordinator)
}

// roll closes the active segment, so that it can be cleaned.
func (c *compacting) roll() {
	c.t.Helper()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if _, err := c.l.rollLocked(c.l.LogEndOffset().Offset); err != nil {
		c.t.Fatal(err)
	}
}

// clean cleans once; false if there was nothing to do.
func (c *compacting) clean() bool { return c.m.cleaner.cleanOne(context.Background()) }

// batches reads the log.
func (c *compacting) batches() (list []protocol.Batch) {
	c.t.Helper()
	for offset, end := c.l.LogStartOffset(), c.l.LogEndOffset().Offset; offset < end; {
		s, err := c.l.Read(offset, 1<<20, ToHighWatermark, true)
		if err != nil {
			c.t.Fatal(err)
		}
		b := make([]byte, s.Len())
		if _, err := s.ReadAt(b, 0); len(b) > 0 && err != nil {
			c.t.Fatal(err)
		}
		s.Release()
		if len(b) == 0 {
			break
		}
		for batch, err := range protocol.Batches(b) {
			if err == nil {
				err = batch.CheckCRC()
			}
			if err != nil {
				c.t.Fatal(err)
			}
			list = append(list, batch)
			offset = batch.NextOffset()
		}
	}
	return list
}

// show prints the records by their offsets, markers and emptied batches.
func (c *compacting) show() (lines []string) {
	c.t.Helper()
	for _, b := range c.batches() {
		if b.Count() == 0 {
			lines = append(lines, fmt.Sprintf("%d: emptied", b.LastOffset()))
		}
		for r, err := range protocol.Records(b) {
			switch {
			case err != nil:
				c.t.Fatal(err)
			case b.Control():
				m := must(protocol.ParseMarker(r))
				lines = append(lines, fmt.Sprintf("%d: marker %d", r.Offset, m.Type))
			case r.Value == nil:
				lines = append(lines, fmt.Sprintf("%d: %s", r.Offset, r.Key))
			default:
				lines = append(lines, fmt.Sprintf("%d: %s=%s", r.Offset, r.Key, r.Value))
			}
		}
	}
	return lines
}

func (c *compacting) expect(want ...string) {
	c.t.Helper()
	if got := c.show(); !slices.Equal(got, want) {
		c.t.Fatalf("the log has\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestCleanKeepsTheLastOfEachKey(t *testing.T) {
	for _, codec := range allCodecs {
		t.Run(codec.String(), func(t *testing.T) {
			c := newCompacting(t, nil)
			c.append(compressed(codec), "a=1", "b=1", "c=1")
			c.append(compressed(codec), "a=2")
			c.append(compressed(codec), "a=3", "b=2")
			c.roll()
			c.append(compressed(codec), "c=9")
			if !c.clean() {
				t.Fatal("nothing was cleaned")
			}
			c.expect("2: c=1", "4: a=3", "5: b=2", "6: c=9")
			if c.clean() {
				t.Fatal("a clean log was cleaned")
			}
			c.close()
			c.open()
			c.expect("2: c=1", "4: a=3", "5: b=2", "6: c=9")
			if c.clean() {
				t.Fatal("a clean log was cleaned after a restart")
			}
			c.roll()
			c.append(protocol.BatchOptions{}, "d=1")
			c.clean()
			c.expect("4: a=3", "5: b=2", "6: c=9", "7: d=1")
			c.close()
		})
	}
}

func TestTombstonesStayUntilTheirHorizon(t *testing.T) {
	c := newCompacting(t, func(c *Config) { c.Compaction.DeleteRetentionMs = 1000 })
	defer c.close()
	c.append(protocol.BatchOptions{}, "a=1", "b=1")
	c.append(protocol.BatchOptions{}, "a")
	c.roll()
	c.clean()
	c.expect("1: b=1", "2: a")
	horizon, ok := c.batches()[1].DeleteHorizon()
	if want := c.now.Load() + 1000; !ok || horizon != want {
		t.Fatalf("horizon %d, want %d", horizon, want)
	}
	for r := range protocol.Records(c.batches()[1]) {
		if r.Timestamp != c.now.Load() {
			t.Fatalf("the tombstone's timestamp became %d", r.Timestamp)
		}
	}
	again := func() {
		c.append(protocol.BatchOptions{}, "z=1")
		c.roll()
		c.clean()
	}
	c.wait(999 * time.Millisecond)
	again()
	c.expect("1: b=1", "2: a", "3: z=1")
	c.wait(time.Millisecond)
	again()
	c.expect("1: b=1", "4: z=1")
}

func TestTransactionsAreCleaned(t *testing.T) {
	c := newCompacting(t, func(c *Config) { c.Compaction.DeleteRetentionMs = 1000 })
	defer c.close()
	txn := func(id int64, sequence int32) protocol.BatchOptions {
		return protocol.BatchOptions{Transactional: true, Producer: &protocol.Producer{ID: id, Sequence: sequence}}
	}
	c.append(txn(1, 0), "a=aborted", "b=aborted")
	c.append(txn(2, 0), "a=committed", "b=committed")
	c.marker(1, protocol.MarkerAbort)
	c.marker(2, protocol.MarkerCommit)
	c.append(protocol.BatchOptions{}, "b=plain")
	c.roll()
	c.clean()
	c.expect("1: emptied", "2: a=committed", "4: marker 0", "5: marker 1", "6: b=plain")
	if aborted, err := c.l.AbortedTransactions(0, 100); err != nil || len(aborted) != 1 {
		t.Fatalf("aborted transactions %v, %v", aborted, err)
	}
	// Once the producers have gone on, their batches go, and the abort marker, having no data any more, gets its horizon.
	c.append(txn(1, 2), "c=1")
	c.marker(1, protocol.MarkerCommit)
	c.roll()
	c.clean()
	c.expect("2: a=committed", "4: marker 0", "5: marker 1", "6: b=plain", "7: c=1", "8: marker 1")
	again := func(text string) {
		c.append(protocol.BatchOptions{}, text)
		c.roll()
		c.clean()
	}
	again("d=1")
	if aborted, err := c.l.AbortedTransactions(0, 100); err != nil || len(aborted) > 0 {
		t.Fatalf("aborted transactions %v, %v", aborted, err)
	}
	again("d=2") // still within the horizon
	c.wait(time.Second)
	again("d=3")
	c.expect("2: a=committed", "5: marker 1", "6: b=plain", "7: c=1", "8: marker 1", "11: d=3")
}

func TestOpenTransactionsAreNotCleaned(t *testing.T) {
	c := newCompacting(t, nil)
	defer c.close()
	c.append(protocol.BatchOptions{}, "a=1", "a=2")
	c.roll()
	c.append(protocol.BatchOptions{Transactional: true, Producer: &protocol.Producer{ID: 1}}, "a=3")
	c.roll()
	c.append(protocol.BatchOptions{}, "a=4")
	c.roll()
	c.clean()
	c.expect("1: a=2", "2: a=3", "3: a=4")
	c.marker(1, protocol.MarkerCommit)
	c.roll()
	c.clean()
	c.expect("2: emptied", "3: a=4", "4: marker 1")
}

func TestASmallMapTakesSeveralRounds(t *testing.T) {
	c := newCompacting(t, nil)
	defer c.close()
	c.m.cleaner.options.DedupeBytes = 4 * offsetSlotBytes
	var want []string
	for round := range 2 {
		for i := range 20 {
			c.append(protocol.BatchOptions{}, fmt.Sprintf("key %d=%d", i, round))
		}
	}
	for i := range 20 {
		want = append(want, fmt.Sprintf("%d: key %d=1", 20+i, i))
	}
	c.roll()
	rounds := 0
	for c.clean() {
		rounds++
	}
	if rounds < 10 {
		t.Fatalf("%d rounds with a map of 3 keys", rounds)
	}
	c.expect(want...)
}

func TestWhatIsWorthCleaning(t *testing.T) {
	minute := time.Minute.Milliseconds()
	for _, x := range []struct {
		name   string
		change func(*Config)
		wait   time.Duration
		worth  bool
		until  int64
	}{
		{"ratio exceeded", func(c *Config) { c.Compaction.MinCleanableDirtyRatio = 0.3 }, 0, true, 3},
		{"ratio not exceeded", func(c *Config) { c.Compaction.MinCleanableDirtyRatio = 0.9 }, 0, false, 3},
		{"ratio not exceeded, but max lag", func(c *Config) { c.Compaction.MinCleanableDirtyRatio, c.Compaction.LagMsMax = 0.9, minute }, 2 * time.Minute, true, 3},
		{"max lag not passed", func(c *Config) { c.Compaction.MinCleanableDirtyRatio, c.Compaction.LagMsMax = 0.9, minute }, 30 * time.Second, false, 3},
		{"younger than min lag", func(c *Config) { c.Compaction.LagMsMin = minute }, 30 * time.Second, false, 1},
		{"older than min lag", func(c *Config) { c.Compaction.LagMsMin = minute }, 2 * time.Minute, true, 3},
		{"not compacted", func(c *Config) { c.Compact = false }, 0, false, 3},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newCompacting(t, nil)
			defer c.close()
			c.append(protocol.BatchOptions{}, "a="+strings.Repeat("1", 100))
			c.roll()
			c.clean()
			c.append(protocol.BatchOptions{}, "a="+strings.Repeat("2", 100))
			c.roll()
			c.append(protocol.BatchOptions{}, "a=3")
			c.roll()
			c.append(protocol.BatchOptions{}, "a=4")
			config := *c.config
			config.Compaction.MinCleanableDirtyRatio = 0
			x.change(&config)
			c.l.SetConfig(&config)
			c.wait(x.wait)
			d, worth, err := c.l.dirtiness(1, c.clock())
			if err != nil || d.until != x.until || config.Compact && worth != x.worth {
				t.Fatalf("%+v, %v, %v", d, worth, err)
			}
			if _, picked := c.m.cleaner.pick(c.clock()); picked != x.worth {
				t.Fatalf("picked: %v", picked)
			}
		})
	}
}

// Where no record has a timestamp, min.compaction.lag.ms counts from the last write.
func TestMinLagWithoutTimestamps(t *testing.T) {
	c := newCompacting(t, func(c *Config) { c.Compaction.LagMsMin = time.Minute.Milliseconds() })
	defer c.close()
	for _, value := range []string{"1", "2"} {
		r := protocol.Record{Timestamp: protocol.NoTimestamp, Key: []byte("a"), Value: []byte(value)}
		c.appendBytes(batchOf(protocol.BatchOptions{}, r), OriginClient)
	}
	c.roll()
	c.wait(30 * time.Second)
	if c.clean() {
		t.Fatal("cleaned too early")
	}
	c.expect("0: a=1", "1: a=2")
	c.wait(31 * time.Second)
	if !c.clean() {
		t.Fatal("not cleaned")
	}
	c.expect("1: a=2")
}

func TestAChangedLogIsLeftAlone(t *testing.T) {
	c := newCompacting(t, nil)
	defer c.close()
	c.append(protocol.BatchOptions{}, "a=1", "a=2")
	c.roll()
	c.append(protocol.BatchOptions{}, "a=3")
	before := c.show()
	for name, change := range map[string]func(){
		"truncation": func() { must(c.l.TruncateTo(2)) },
		"retention": func() {
			c.l.SetHighWatermark(2)
			must(c.l.IncrementLogStartOffset(2))
			must(c.l.DeleteOldSegments())
		},
	} {
		generation, group := c.l.generation.Load(), c.l.Segments()[:1]
		cleaned := must(createCleaned(c.l, 0))
		change()
		if err := c.l.replaceSegments(cleaned, group, generation); !errors.Is(err, errCleanAborted) {
			t.Fatalf("%s: %v", name, err)
		}
		if err := cleaned.discard(); err != nil {
			t.Fatal(err)
		}
	}
	if len(before) != 3 || strings.Contains(c.mem.Tree(), cleanedSuffix) {
		t.Fatalf("%v\n%s", before, c.mem.Tree())
	}
}

func TestACorruptLogIsLeftAlone(t *testing.T) {
	c := newCompacting(t, nil)
	defer c.close()
	c.append(protocol.BatchOptions{}, "a=1")
	c.append(protocol.BatchOptions{}, "a=2")
	c.roll()
	before := c.l.Size()
	name := "/data/t-0/" + segmentFileName(0, logSuffix)
	content := must(vfs.ReadFile(c.mem, name))
	content[len(content)-2] ^= 1 // in the value that stays
	if err := vfs.WriteFile(c.mem, name, content, true); err != nil {
		t.Fatal(err)
	}
	if c.clean() {
		t.Fatal("a log with a corrupt batch was cleaned")
	}
	if _, again := c.m.cleaner.pick(c.clock()); again {
		t.Fatal("the log is picked again")
	}
	if c.l.Size() != before || c.m.Dirs()[0].Offline || strings.Contains(c.mem.Tree(), cleanedSuffix) {
		t.Fatalf("%d bytes were %d\n%s", c.l.Size(), before, c.mem.Tree())
	}
}

// A record that came with a negative timestamp stands in the way only when its batch is written anew: as in Apache that is the log's fault, not
// the disk's.
func TestALogThatCannotBeRewrittenIsLeftAlone(t *testing.T) {
	for name, second := range map[string]protocol.Record{
		"a record is replaced":    {Timestamp: 5, Key: []byte("b"), Value: []byte("1")},
		"a tombstone gets a mark": {Timestamp: 5, Key: []byte("c")},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCompacting(t, nil)
			defer c.close()
			batch := batchOf(protocol.BatchOptions{}, protocol.Record{Timestamp: 5, Key: []byte("a"), Value: []byte("1")}, second)
			negative := int64(-5)
			binary.BigEndian.PutUint64(batch[27:], uint64(negative)) // the base timestamp
			batch.UpdateCRC()
			c.appendBytes(batch, OriginClient)
			c.append(protocol.BatchOptions{}, "b=2")
			c.roll()
			before := c.show()
			if c.clean() {
				t.Fatal("the log was cleaned")
			}
			if _, again := c.m.cleaner.pick(c.clock()); again {
				t.Fatal("the log is picked again")
			}
			c.expect(before...)
			c.append(protocol.BatchOptions{}, "d=1")
			if c.m.Dirs()[0].Offline || strings.Contains(c.mem.Tree(), cleanedSuffix) {
				t.Fatalf("%+v\n%s", c.m.Dirs()[0], c.mem.Tree())
			}
		})
	}
}

func TestADiskErrorTakesTheDirectoryOffline(t *testing.T) {
	c := newCompacting(t, nil)
	c.append(protocol.BatchOptions{}, "a=1", "a=2")
	c.roll()
	c.close()
	var broken atomic.Bool
	c.fs = vfs.Faulty{FS: c.mem, Fail: func(op vfs.Op, name string) error {
		if broken.Load() && op == vfs.OpSync && strings.Contains(name, cleanedSuffix) {
			return errors.New("disk is broken")
		}
		return nil
	}}
	c.open()
	c.l.SetHighWatermark(2)
	broken.Store(true)
	if c.clean() || !c.m.Dirs()[0].Offline {
		t.Fatalf("%+v", c.m.Dirs()[0])
	}
	if err := c.m.Close(); err != nil {
		t.Fatal(err)
	}
}

// The want of descriptors passes, but not in the middle of a replacement: what the segment's files are called then, only a restart sorts out.
func TestAReplacementThatIsHalfDoneTakesTheDirectoryOffline(t *testing.T) {
	steps := []string{logSuffix + cleanedSuffix, logSuffix, logSuffix + swapSuffix} // what is renamed before each sync
	for i, step := range steps {
		t.Run(step, func(t *testing.T) {
			c := newCompacting(t, nil)
			c.append(protocol.BatchOptions{}, "a=1", "b=1")
			c.append(protocol.BatchOptions{}, "b=2")
			c.roll()
			c.close()
			var reached atomic.Int32 // how many of the steps
			c.fs = vfs.Faulty{FS: c.mem, Fail: func(op vfs.Op, name string) error {
				if n := int(reached.Load()); op == vfs.OpRename && n < len(steps) && strings.HasSuffix(name, segmentFileName(0, steps[n])) {
					reached.Add(1)
				}
				if op == vfs.OpSyncDir && int(reached.Load()) == i+1 {
					return &fs.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
				}
				return nil
			}}
			c.open()
			c.l.SetHighWatermark(3)
			if c.clean() || !c.m.Dirs()[0].Offline {
				t.Fatalf("%+v\n%s", c.m.Dirs()[0], c.mem.Tree())
			}
			c.close()
			c.fs = c.mem
			c.open()
			defer c.close()
			c.l.SetHighWatermark(3)
			c.expect("0: a=1", "2: b=2")
		})
	}
}

// What was reserved ahead of a cleaned segment is given back before the segment is synced.
func TestACleanedSegmentKeepsNoReservedRoom(t *testing.T) {
	c := newCompacting(t, func(c *Config) { c.SegmentBytesMax = 16 << 20 })
	defer func() { c.close() }()
	value := strings.Repeat("v", 1000_000)
	for i := range reserveFrom/len(value) + 2 {
		c.append(protocol.BatchOptions{}, fmt.Sprintf("key %d=%s", i, value))
	}
	end := c.l.LogEndOffset().Offset
	c.roll()
	c.close()
	var ops []vfs.Op
	c.fs = vfs.Faulty{FS: c.mem, Fail: func(op vfs.Op, name string) error {
		if strings.HasSuffix(name, logSuffix+cleanedSuffix) && (op == vfs.OpTruncate || op == vfs.OpSync) {
			ops = append(ops, op)
		}
		return nil
	}}
	c.open()
	c.l.SetHighWatermark(end)
	if !c.clean() {
		t.Fatal("nothing was cleaned")
	}
	if want := []vfs.Op{vfs.OpTruncate, vfs.OpSync}; !slices.Equal(ops, want) {
		t.Fatalf("%v, want %v", ops, want)
	}
}

func TestAReadUpToAnOldHighWatermarkSurvivesCleaning(t *testing.T) {
	c := newCompacting(t, nil)
	defer c.close()
	for i := range 5 {
		c.append(protocol.BatchOptions{}, fmt.Sprintf("a=%d", i))
	}
	atEndOfSegment := c.l.HighWatermark()
	c.roll()
	c.l.mu.Lock()
	o := *c.l.offsets.Load()
	o.HighWatermark = atEndOfSegment // as a follower that fetched before the roll has reported it
	c.l.publishLocked(o)
	c.l.mu.Unlock()
	c.clean()
	c.expect("4: a=4")
}

func TestOffsetMap(t *testing.T) {
	const slots = 5000
	m := newOffsetMap(slots*offsetSlotBytes, 0.9)
	want := map[string]int64{}
	random := rand.New(rand.NewPCG(3, 4))
	for offset := int64(0); ; offset++ {
		key := fmt.Sprint("key ", random.IntN(20000))
		if !m.put([]byte(key), offset) {
			break
		}
		want[key] = offset
	}
	if len(want) != slots*9/10 || m.used != len(want) || len(m.slots) > slots+1 {
		t.Fatalf("full with %d keys, %d counted, in %d slots", len(want), m.used, len(m.slots))
	}
	for key, offset := range want {
		if got := m.get([]byte(key)); got != offset {
			t.Fatalf("%s at %d, want %d", key, got, offset)
		}
	}
	if got := m.get([]byte("none")); got != -1 {
		t.Fatalf("a key that was never put is at %d", got)
	}
}

// cleanerWorkload appends at random and knows what a consumer must see.
type cleanerWorkload struct {
	*compacting
	random    *rand.Rand
	sequences map[int64]int32
	inTxn     map[int64]bool
	original  map[int64]string // all records of data, by offset
}

func newCleanerWorkload(t testing.TB, seed uint64) *cleanerWorkload {
	return &cleanerWorkload{
		compacting: newCompacting(t, func(c *Config) { c.Compaction.DeleteRetentionMs = 5000 }),
		random:     rand.New(rand.NewPCG(seed, 1)), sequences: map[int64]int32{}, inTxn: map[int64]bool{}, original: map[int64]string{},
	}
}

func (w *cleanerWorkload) step() {
	w.wait(time.Duration(w.random.IntN(400)) * time.Millisecond)
	producer := int64(w.random.IntN(4)) // 0: none, 1: idempotent, 2 and 3: transactional
	if w.inTxn[producer] && w.random.IntN(3) == 0 {
		w.marker(producer, protocol.MarkerType(w.random.IntN(2)))
		delete(w.inTxn, producer)
		return
	}
	o := compressed(allCodecs[w.random.IntN(len(allCodecs))])
	if producer > 0 {
		o.Producer = &protocol.Producer{ID: producer, Sequence: w.sequences[producer]}
		o.Transactional = producer > 1
	}
	var texts []string
	for range 1 + w.random.IntN(4) {
		text := fmt.Sprint("k", w.random.IntN(12))
		if w.random.IntN(4) > 0 {
			text += fmt.Sprint("=v", w.random.IntN(1000))
		}
		texts = append(texts, text)
	}
	w.sequences[producer] += int32(len(texts))
	if o.Transactional {
		w.inTxn[producer] = true
	}
	info := w.append(o, texts...)
	for i, text := range texts {
		w.original[info.FirstOffset+int64(i)] = text
	}
}

// check reads the whole log: offsets ascend, what is there is what was written, and the end is there.
func (w *cleanerWorkload) check() {
	w.t.Helper()
	if err := w.l.Check(); err != nil {
		w.t.Fatalf("%v\n%s", err, w.mem.Tree())
	}
	last := int64(-1)
	for _, line := range w.show() {
		offsetText, text, _ := strings.Cut(line, ": ")
		var offset int64
		fmt.Sscan(offsetText, &offset)
		if offset <= last {
			w.t.Fatalf("offset %d after %d", offset, last)
		}
		last = offset
		if original, ok := w.original[offset]; ok && text != "emptied" && text != original {
			w.t.Fatalf("record %d became %q, it was %q", offset, text, original)
		}
	}
	if end := w.l.LogEndOffset().Offset; last != end-1 {
		w.t.Fatalf("the last record is at %d, the log ends at %d", last, end)
	}
}

// consume is what a consumer knows who reads all committed data, skipping what was aborted as clients do.
func (w *cleanerWorkload) consume() map[string]string {
	w.t.Helper()
	end := w.l.LastStableOffset().Offset
	aborted, err := w.l.AbortedTransactions(0, end)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(aborted, func(a, b AbortedTransaction) int { return int(a.FirstOffset - b.FirstOffset) })
	view := map[string]string{}
	skipping := map[int64]bool{}
	for _, b := range w.batches() {
		if b.BaseOffset() >= end {
			break
		}
		for ; len(aborted) > 0 && aborted[0].FirstOffset <= b.LastOffset(); aborted = aborted[1:] {
			skipping[aborted[0].ProducerID] = true
		}
		if b.Control() {
			delete(skipping, b.ProducerID())
			continue
		}
		if b.Transactional() && skipping[b.ProducerID()] {
			continue
		}
		for r, err := range protocol.Records(b) {
			switch {
			case err != nil:
				w.t.Fatal(err)
			case r.Value == nil:
				delete(view, string(r.Key))
			default:
				view[string(r.Key)] = string(r.Value)
			}
		}
	}
	return view
}

func TestCleaningChangesNothingForConsumers(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			w := newCleanerWorkload(t, seed)
			for range 40 {
				for range 1 + w.random.IntN(12) {
					w.step()
				}
				if w.random.IntN(2) == 0 {
					w.roll()
				}
				before, producers := w.consume(), w.l.ActiveProducers()
				w.clean()
				w.check()
				if after := w.consume(); !maps.Equal(before, after) {
					t.Fatalf("a consumer saw %v, and sees %v", before, after)
				}
				if w.random.IntN(4) == 0 {
					w.close()
					w.open2()
					w.check()
					if got := w.l.ActiveProducers(); !slices.Equal(got, producers) {
						t.Fatalf("producers %+v were %+v", got, producers)
					}
				}
			}
			w.close()
		})
	}
}

// open2 opens the log again without losing the snapshots, or after forgetting them, so that producers are learned from the cleaned log.
func (w *cleanerWorkload) open2() {
	w.t.Helper()
	if w.random.IntN(2) == 0 {
		list, err := w.mem.ReadDir("/data/t-0")
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range list {
			if strings.HasSuffix(e.Name(), snapshotSuffix) {
				if err := w.mem.Remove("/data/t-0/" + e.Name()); err != nil {
					w.t.Fatal(err)
				}
			}
		}
		if err := w.mem.Remove("/data/" + cleanShutdownFile); err != nil {
			w.t.Fatal(err)
		}
	}
	w.compacting.open()
	w.l.SetHighWatermark(w.l.LogEndOffset().Offset)
}

// TestCrashWhileCleaning crashes before every operation of the file system. What is found afterwards must be the log, cleaned or not.
func TestCrashWhileCleaning(t *testing.T) {
	for crashAt := 0; ; crashAt++ {
		w := newCleanerWorkload(t, 99)
		for range 30 {
			w.step()
		}
		w.roll()
		if err := w.l.Flush(); err != nil {
			t.Fatal(err)
		}
		before := w.consume()
		w.close()
		var left *vfs.Mem
		var ops atomic.Int64
		ops.Store(-1_000_000)
		w.fs = vfs.Faulty{FS: w.mem, Fail: func(vfs.Op, string) error {
			if ops.Add(1) == int64(crashAt) {
				left = w.mem.Crash(w.random, float64(crashAt%3)/2)
			}
			return nil
		}}
		w.compacting.open()
		w.l.SetHighWatermark(w.l.LogEndOffset().Offset)
		ops.Store(-1)
		w.clean()
		ops.Store(-1_000_000)
		w.close()
		if left == nil {
			if crashAt < 30 {
				t.Fatalf("cleaning took only %d operations", crashAt)
			}
			return
		}
		w.mem, w.fs = left, left
		w.compacting.open()
		w.l.SetHighWatermark(w.l.LogEndOffset().Offset)
		w.check()
		if after := w.consume(); !maps.Equal(before, after) {
			t.Fatalf("crash at operation %d: a consumer saw %v, and sees %v\n%s", crashAt, before, after, left.Tree())
		}
		w.clean()
		w.check()
		if after := w.consume(); !maps.Equal(before, after) {
			t.Fatalf("cleaned after a crash at operation %d: a consumer saw %v, and sees %v", crashAt, before, after)
		}
		w.close()
	}
}

func TestTheCleanerRunsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCompacting(t, nil)
		defer c.close()
		c.append(protocol.BatchOptions{}, "a=1", "a=2")
		c.roll()
		c.m.SetCleaner(CleanerOptions{Threads: 2, Backoff: time.Minute, BytesPerSecond: 100})
		c.expect("0: a=1", "1: a=2")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		c.expect("1: a=2")
		c.m.SetCleaner(CleanerOptions{Disabled: true})
		c.append(protocol.BatchOptions{}, "a=3")
		c.roll()
		time.Sleep(time.Hour)
		c.expect("1: a=2", "2: a=3")
	})
}
