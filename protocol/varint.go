package protocol

// Records number and measure themselves with zig-zag base-128 integers, seven bits a byte, the lowest first. The readers take the position
// to read at and return the one after; a position of -1 stands for an error, theirs or that of an earlier read, so that a caller checks once.

// short reads a number of one or two bytes without undoing its zig-zag. It is small enough to be inlined. It takes nothing at the very end, nor at
// position 0, where no number of a record stands: there, and for longer numbers, the position after is 0.
func short(b []byte, at int) (u uint32, after int) {
	if at <= 0 || at+1 >= len(b) {
		return 0, 0
	}
	lo, hi := uint32(b[at]), uint32(b[at+1])
	if lo < 0x80 {
		return lo, at + 1
	}
	if hi < 0x80 {
		return lo&0x7f | hi<<7, at + 2
	}
	return 0, 0
}

// varint reads an int32. Lengths up to 8191 and deltas take at most two bytes, so these come first.
func varint(b []byte, at int) (int32, int) {
	if at >= 0 && at+1 < len(b) {
		lo, hi := uint32(b[at]), uint32(b[at+1])
		if lo < 0x80 {
			return unzigzag32(lo), at + 1
		}
		if hi < 0x80 {
			return unzigzag32(lo&0x7f | hi<<7), at + 2
		}
	}
	return varintSlow(b, at)
}

// varintSlow reads at most five bytes. Bits of the fifth that do not fit are dropped, as the Java client does.
func varintSlow(b []byte, at int) (int32, int) {
	if at < 0 {
		return 0, -1
	}
	var u uint32
	for shift := 0; shift <= 28 && at < len(b); shift += 7 {
		c := b[at]
		at++
		u |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return unzigzag32(u), at
		}
	}
	return 0, -1
}

// varlong reads an int64 of at most ten bytes.
func varlong(b []byte, at int) (int64, int) {
	if at < 0 {
		return 0, -1
	}
	var u uint64
	for shift := 0; shift <= 63 && at < len(b); shift += 7 {
		c := b[at]
		at++
		u |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return unzigzag64(u), at
		}
	}
	return 0, -1
}

func unzigzag32(u uint32) int32 { return int32(u>>1) ^ -int32(u&1) }
func unzigzag64(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func appendVarint(b []byte, v int64) []byte {
	u := uint64(v<<1) ^ uint64(v>>63)
	for u >= 0x80 {
		b = append(b, byte(u)|0x80)
		u >>= 7
	}
	return append(b, byte(u))
}

func varintLen(v int64) int {
	n := 1
	for u := (uint64(v<<1) ^ uint64(v>>63)) >> 7; u != 0; u >>= 7 {
		n++
	}
	return n
}
