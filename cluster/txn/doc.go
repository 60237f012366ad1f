// Package txn hands out producer ids. The transaction coordinator will live here.
package txn
