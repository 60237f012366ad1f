package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/cluster"
)

// describeCluster tells of the brokers and the controller, for clients that administer.
//
// Behaviour: as Metadata's; a controller that the client could not reach is not told.
//
// Versions: 1 the kind of endpoint (KIP-919). Only brokers have some here.
func describeCluster(i toldImage) API {
	return on(0, 1, func(ctx context.Context, c *Call, req *kmsg.DescribeClusterRequest) (*kmsg.DescribeClusterResponse, error) {
		resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
		const brokers, controllers = 1, 2
		switch req.EndpointType {
		case brokers:
			fillCluster(resp, imageOnceTold(ctx, i), c.Listener)
			if req.IncludeClusterAuthorizedOperations {
				resp.ClusterAuthorizedOperations = clusterOperations
			}
		case controllers:
			resp.ErrorCode = kerr.MismatchedEndpointType.Code
			resp.ErrorMessage = new("The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER")
		default:
			resp.ErrorCode = kerr.UnsupportedEndpointType.Code
			resp.ErrorMessage = new(fmt.Sprintf("Unsupported endpoint type %d", req.EndpointType))
		}
		return resp, nil
	})
}

func fillCluster(resp *kmsg.DescribeClusterResponse, m *cluster.Metadata, listener string) {
	resp.ClusterID = m.ClusterID
	for _, b := range m.Brokers() {
		e, ok := b.Endpoint(listener)
		if !ok {
			continue
		}
		resp.Brokers = append(resp.Brokers, kmsg.DescribeClusterResponseBroker{NodeID: int32(b.ID), Host: e.Host, Port: e.Port, Rack: optional(b.Rack)})
		if b.ID == m.ControllerID {
			resp.ControllerID = int32(b.ID)
		}
	}
}
