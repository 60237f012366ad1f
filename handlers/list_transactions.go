package handlers

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster/txn"
	"gokafka/protocol"
)

// ListTransactions, v0 and v1 (KIP-664).
//
// Behaviour: lists the transactional ids that this broker coordinates, or those of some states and producer ids. States that do not
// exist are named in the answer, and choose nothing.
//
// Versions: 1 for how long a transaction is open at least (KIP-994).
func listTransactions(txns txnCoordinator) API {
	return on(0, 1, func(ctx context.Context, _ *Call, r *kmsg.ListTransactionsRequest) (*kmsg.ListTransactionsResponse, error) {
		resp := r.ResponseKind().(*kmsg.ListTransactionsResponse)
		states, unknown := parseStates(r.StateFilters)
		listed, err := txns.List(ctx, &txn.Filter{ProducerIDs: r.ProducerIDFilters, States: states, DurationMillis: r.DurationFilterMillis})
		if err != nil {
			resp.ErrorCode = protocol.CodeOf(err)
			return resp, nil
		}
		resp.UnknownStateFilters = unknown
		for _, l := range listed {
			resp.TransactionStates = append(resp.TransactionStates, kmsg.ListTransactionsResponseTransactionState{
				TransactionalID: l.TransactionalID, ProducerID: l.ProducerID, TransactionState: l.State.String()})
		}
		return resp, nil
	})
}

// parseStates reads the names of states, each once; none at all choose all states, which is nil.
func parseStates(names []string) (states []txn.State, unknown []string) {
	if len(names) > 0 {
		states = []txn.State{}
	}
	for _, name := range names {
		s, ok := txn.ParseState(name)
		switch {
		case !ok:
			unknown = append(unknown, name)
		case !slices.Contains(states, s):
			states = append(states, s)
		}
	}
	slices.Sort(unknown)
	return states, slices.Compact(unknown)
}
