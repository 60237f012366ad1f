package main

// ballastBytes is memory that is never touched, and so takes none, but counts for the garbage collector: it runs after so much garbage instead of
// after 4 MB. Each of its runs stops all goroutines twice, for as long as it takes to hear from every thread, and one that sleeps for a moment may
// take milliseconds (timerSlack). For a small heap that made the slowest thousandth of acks=all (docs/benchmarks-cluster.md).
const ballastBytes = 16 << 20

// ballast is to be kept alive for as long as the process serves.
func ballast() []byte { return make([]byte, ballastBytes) }
