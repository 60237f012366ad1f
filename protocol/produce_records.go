package protocol

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// CheckProduceRecords checks the record bytes of one partition by what the version of the Produce request allows: exactly one batch of
// magic 2 since version 3, zstd since version 7 (KIP-110). Older versions may bring anything; the log decides.
func CheckProduceRecords(version int16, records []byte) error {
	if version < 3 {
		return nil
	}
	first, rest, err := NextBatch(records)
	switch {
	case err != nil:
		return err
	case first == nil:
		return fmt.Errorf("%w: Produce version %d needs a record batch per partition", ErrInvalidRecord, version)
	case first.Magic() != 2:
		return fmt.Errorf("%w: Produce version %d with a batch of magic %d", ErrInvalidRecord, version, first.Magic())
	case version < 7 && first.Codec() > Zstd:
		return fmt.Errorf("%w: unknown %v", ErrDecompress, first.Codec())
	case version < 7 && first.Codec() == Zstd:
		return fmt.Errorf("zstd in Produce version %d: %w", version, kerr.UnsupportedCompressionType)
	}
	second, _, err := NextBatch(rest)
	if err == nil && second != nil {
		err = fmt.Errorf("%w: Produce version %d with more than one batch for a partition", ErrInvalidRecord, version)
	}
	return err
}
