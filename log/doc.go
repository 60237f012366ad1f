// Package log keeps one replica's durable log on one disk, in Apache Kafka's format.
package log
