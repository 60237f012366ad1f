package cluster

import "testing"

// A partition's number decides who coordinates: the hash is Java's.
func TestCoordinatorPartition(t *testing.T) {
	for _, test := range []struct {
		id         string
		partitions int32
		want       int32
	}{
		{"grp-one", 4, 2}, {"grp-one", 50, 24}, {"tx-one", 4, 3}, {"tx-one", 50, 33},
		{"", 50, 0},
		{"polygenelubricants", 50, 0}, // the hash is the least int32
		{"grüße-𝄞", 50, 22},
	} {
		if got := CoordinatorPartition(test.id, test.partitions); got != test.want {
			t.Errorf("%q of %d: %d, want %d", test.id, test.partitions, got, test.want)
		}
	}
}
