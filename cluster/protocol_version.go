package cluster

import "fmt"

// ProtocolVersion is an inter.broker.protocol.version: a release, and which of its internal versions (the 2 in 3.3-IV2).
type ProtocolVersion struct{ Major, Minor, Internal int }

// AtLeast reports whether the version is another, or later.
func (v ProtocolVersion) AtLeast(major, minor, internal int) bool {
	if v.Major != major {
		return v.Major > major
	}
	if v.Minor != minor {
		return v.Minor > minor
	}
	return v.Internal >= internal
}

// String is Kafka's name of the version.
func (v ProtocolVersion) String() string {
	return fmt.Sprintf("%d.%d-IV%d", v.Major, v.Minor, v.Internal)
}
