package protocol

import "testing"

func TestTopicIDText(t *testing.T) {
	for range 1000 {
		id := NewTopicID()
		back, err := ParseTopicID(id.String())
		if err != nil || back != id || id.String()[0] == '-' {
			t.Fatalf("%v → %v, %v", id, back, err)
		}
	}
	for _, bad := range []string{"", "abc", "sZiAPIzDTaWF5FI6AZlHNAA", "sZiAPIzDTaWF5FI6AZlH=="} {
		if _, err := ParseTopicID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
