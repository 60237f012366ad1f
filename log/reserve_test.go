package log_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"gokafka/log"
	"gokafka/log/logtest"
	"gokafka/log/vfs"
	"gokafka/protocol"
)

// Case 51: records are refused before the disk is full. The directory stays online, coordinators go on to write, reading works,
// the broker stops cleanly, and when there is room again records are taken.
func TestReserveIsKept(t *testing.T) {
	const limit, reserve = 1 << 20, 100 << 10
	disk := vfs.NewMem()
	disk.SetLimit(limit)
	m, err := log.Open(log.ManagerOptions{FS: disk, Dirs: []string{"/logs"}, Identity: logtest.Identity, ReserveBytes: reserve})
	if err != nil {
		t.Fatal(err)
	}
	l, err := m.Create(partition, log.CreateOptions{IsNew: true})
	if err != nil {
		t.Fatal(err)
	}
	value := string(make([]byte, 1000))
	appendOne := func(origin log.Origin) error {
		_, err := l.AppendAsLeader(logtest.Batch(t, protocol.BatchOptions{}, now, value), 0, log.AppendOptions{Origin: origin})
		return err
	}
	n := 0
	for err = appendOne(log.OriginClient); err == nil; err = appendOne(log.OriginClient) {
		if n++; n > limit/1000 {
			t.Fatal("the disk is never nearly full")
		}
	}
	if !errors.Is(err, log.ErrNearlyFull) || !errors.Is(err, kerr.KafkaStorageError) || errors.Is(err, log.ErrStorage) {
		t.Fatalf("refused with %v", err)
	}
	if _, usable, _ := disk.Space("/logs"); usable < reserve || usable > 2*reserve {
		t.Errorf("%d bytes are left, the reserve is %d", usable, reserve)
	}
	if err := appendOne(log.OriginCoordinator); err != nil {
		t.Errorf("a coordinator: %v", err)
	}
	if got := len(contents(t, l)); got != n+1 {
		t.Errorf("%d batches are there, %d were taken", got, n+1)
	}
	if _, err := l.AppendAsFollower(logtest.Batch(t, protocol.BatchOptions{BaseOffset: l.LogEndOffset().Offset}, now, value), 0); !errors.Is(err, log.ErrNearlyFull) {
		t.Errorf("a follower: %v", err)
	}
	disk.SetLimit(2 * limit)
	if err := appendOne(log.OriginClient); err != nil {
		t.Errorf("with room again: %v", err)
	}
	disk.SetLimit(limit)
	if err := m.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
