// Package handlers has one file per Kafka API: check the request, ask the right part of the broker, shape the answer.
// Table lists them all; dispatch and the ApiVersions answer are both made from it.
package handlers
