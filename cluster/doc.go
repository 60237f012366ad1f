// Package cluster holds the values that brokers share: who is alive, who leads what, in which epoch. Its sub-packages
// decide and replicate; this one only names things.
package cluster
