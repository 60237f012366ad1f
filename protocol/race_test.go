//go:build race

package protocol

// raceEnabled says that the race detector runs. With it the compiler makes what append only extends by, so that kmsg's decoder
// allocates every array twice.
const raceEnabled = true
