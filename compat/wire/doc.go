// Package wire sends the same frames to Apache Kafka and to gokafka and compares the answers field by field.
//
// A case is a function of an Exchange, run once for every version that Apache advertises for the case's API. What it sends goes
// to both brokers; what comes back (an answer, a closed connection, or nothing) is compared. So a new case is one line in a
// table: a name, an API key, and the requests.
//
// Nothing is left out of the comparison unless it must differ: ports, the cluster id, directories, times around now, and values
// that a broker draws at random (topic ids, member ids, session ids). Drawn values are replaced by numbers in order of
// appearance on each side, so that a broker which mixes two of them up is still found out. The text of error messages is
// reduced to whether there is one, since the words are our own. What the decoder understood is also encoded again and
// compared with the bytes that came: a field that is there in the wrong version shows even if the decoder is lenient.
//
// Two Apache brokers compared with each other (COMPAT_BROKERS=apache) must agree in every case: that is the proof of the rules.
package wire
