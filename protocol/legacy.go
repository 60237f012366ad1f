package protocol

// Where the fields of a magic 0 or 1 message begin. The CRC (IEEE) covers everything from the magic on. Magic 1 has a timestamp
// after its attributes; then come the key's length and bytes, the value's length and bytes.
const (
	legacyCRCAt        = 12
	legacyAttributesAt = 17
	legacyTimestampAt  = 18
)
