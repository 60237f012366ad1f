package log

import (
	"strings"
	"testing"

	"gokafka/log/vfs"
)

func TestDump(t *testing.T) {
	for name, want := range map[string]string{
		"00000000000000000072.log":       "| offset: 89 timestamp: 1795336318372 keySize: 4 valueSize: 6 headers: 0 endTxnMarker: ABORT coordinatorEpoch: 0\n",
		"00000000000000000048.index":     "offset: 54 position: 608\n",
		"00000000000000000048.timeindex": "timestamp: 1800000102000 offset: 54\n",
		"00000000000000000048.txnindex":  "producerId: 1 firstOffset: 57 lastOffset: 59 lastStableOffset: 60\n",
		"00000000000000000091.snapshot":  "producerId: 3 producerEpoch: 0 coordinatorEpoch: -1 currentTxnFirstOffset: 90 lastTimestamp: 1800000200000 lastSequence: 0 lastOffset: 90 offsetDelta: 0\n",
	} {
		var out strings.Builder
		if err := Dump(&out, vfs.OS{}, "testdata/apache/golden-0/"+name, true); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
	if err := Dump(new(strings.Builder), vfs.OS{}, "testdata/apache/golden-0/partition.metadata", false); err == nil {
		t.Error("a file that is not a segment's was printed")
	}
}
