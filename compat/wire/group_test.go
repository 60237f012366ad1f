package wire

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func coordinator(kind int8, keys ...string) *kmsg.FindCoordinatorRequest {
	r := kmsg.NewPtrFindCoordinatorRequest()
	r.CoordinatorType, r.CoordinatorKeys = kind, keys
	if len(keys) > 0 {
		r.CoordinatorKey = keys[0]
	}
	return r
}

// joinRequest sends one JoinGroup, changed by alter, to a group that does not exist.
func joinRequest(alter func(*kmsg.JoinGroupRequest)) func(x *Exchange) {
	return func(x *Exchange) {
		m := newMember(x, "member", x.N)
		x.SendEach(func(side int) kmsg.Request {
			r := m.joining(side)
			alter(r)
			return r
		})
		discard(x)
	}
}

// discard removes a group that Apache keeps, empty, for a while after it refused the first request to it: it would show in lists.
func discard(x *Exchange) { x.Unchecked().Send(deleteGroups(x.N)) }

// rejoin has the member of a stable group join again, changed by alter.
func rejoin(alter func(*kmsg.JoinGroupRequest)) func(x *Exchange) {
	return func(x *Exchange) {
		m := stable(x, x.N)
		x.SendEach(func(side int) kmsg.Request {
			r := m.joining(side)
			alter(r)
			return r
		})
	}
}

// syncRequest joins and then sends one SyncGroup, changed by alter, and a good one.
func syncRequest(alter func(*kmsg.SyncGroupRequest)) func(x *Exchange) {
	return func(x *Exchange) {
		m := newMember(x, "member", x.N)
		m.join()
		m.x.SendEach(func(side int) kmsg.Request {
			r := m.syncing(side, m)
			alter(r)
			return r
		})
		m.sync(m)
	}
}

func heartbeat(alter func(*kmsg.HeartbeatRequest)) func(x *Exchange) {
	return func(x *Exchange) { stable(x, x.N).heartbeat(alter) }
}

func leave(alter func(*kmsg.LeaveGroupRequest)) func(x *Exchange) {
	return func(x *Exchange) {
		m := stable(x, x.N)
		m.leave(alter)
		m.heartbeat(nil)
	}
}

// static is a member with an instance id, alone in its group and stable.
func static(x *Exchange, instance string) *member {
	x.T.Helper()
	m := newMember(x, "member", x.N)
	m.instance = &instance
	m.join()
	m.sync(m)
	return m
}

func describe(groups ...string) *kmsg.DescribeGroupsRequest {
	r := kmsg.NewPtrDescribeGroupsRequest()
	r.Groups = groups
	return r
}

func deleteGroups(groups ...string) *kmsg.DeleteGroupsRequest {
	r := kmsg.NewPtrDeleteGroupsRequest()
	r.Groups = groups
	return r
}

func noProtocols(r *kmsg.JoinGroupRequest) { r.Protocols = nil }

var groupCases = []Case{
	{"of a group", kmsg.FindCoordinator, 0, 0, func(x *Exchange) { x.Send(coordinator(0, x.N)) }},
	{"of several groups", kmsg.FindCoordinator, 4, 0, func(x *Exchange) { x.Send(coordinator(0, x.N, "b", "c", x.N)) }},
	{"of no group", kmsg.FindCoordinator, 4, 0, func(x *Exchange) { x.Send(coordinator(0)) }},
	{"of an empty group", kmsg.FindCoordinator, 0, 0, func(x *Exchange) { x.Send(coordinator(0, "")) }},
	{"type 2", kmsg.FindCoordinator, 1, 0, func(x *Exchange) { x.Send(coordinator(2, x.N)) }},
	{"type 7", kmsg.FindCoordinator, 1, 0, func(x *Exchange) { x.Send(coordinator(7, x.N)) }},

	{"alone", kmsg.JoinGroup, 0, 0, func(x *Exchange) { stable(x, x.N) }},
	{"two members come and one goes", kmsg.JoinGroup, 0, 0, func(x *Exchange) { comeAndGo(x) }},
	{"empty group id", kmsg.JoinGroup, 0, 0, joinRequest(func(r *kmsg.JoinGroupRequest) { r.Group = "" })},
	{"session too short", kmsg.JoinGroup, 0, 0, joinRequest(func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5999 })},
	{"session too long", kmsg.JoinGroup, 0, 0, joinRequest(func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1800001 })},
	{"session negative", kmsg.JoinGroup, 0, 0, joinRequest(func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = -1 })},
	{"unknown member", kmsg.JoinGroup, 0, 0, joinRequest(func(r *kmsg.JoinGroupRequest) { r.MemberID = "nobody" })},
	{"unknown static member", kmsg.JoinGroup, 5, 0, joinRequest(func(r *kmsg.JoinGroupRequest) { r.MemberID, r.InstanceID = "nobody", text("i") })},
	{"no protocols", kmsg.JoinGroup, 0, 0, joinRequest(noProtocols)},
	{"empty protocol type", kmsg.JoinGroup, 0, 0, joinRequest(func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" })},
	{"bad instance id", kmsg.JoinGroup, 5, 0, joinRequest(func(r *kmsg.JoinGroupRequest) { r.InstanceID = text("a/b") })},
	{"empty instance id", kmsg.JoinGroup, 5, 0, joinRequest(func(r *kmsg.JoinGroupRequest) { r.InstanceID = text("") })},
	{"other protocols", kmsg.JoinGroup, 0, 0, func(x *Exchange) {
		stable(x, x.N)
		m := newMember(x, "other", x.N)
		m.x.SendEach(func(side int) kmsg.Request {
			r := m.joining(side)
			r.Protocols = r.Protocols[:1]
			r.Protocols[0].Name = "else"
			return r
		})
	}},
	{"other protocol type", kmsg.JoinGroup, 0, 0, func(x *Exchange) {
		stable(x, x.N)
		m := newMember(x, "other", x.N)
		m.x.SendEach(func(side int) kmsg.Request { r := m.joining(side); r.ProtocolType = "connect"; return r })
	}},
	{"again", kmsg.JoinGroup, 0, 0, rejoin(func(*kmsg.JoinGroupRequest) {})},
	{"again as nobody", kmsg.JoinGroup, 0, 0, rejoin(func(r *kmsg.JoinGroupRequest) { r.MemberID = "nobody" })},
	{"again with other protocols", kmsg.JoinGroup, 0, 0, rejoin(func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = "sticky" })},
	{"again with a reason", kmsg.JoinGroup, 8, 0, rejoin(func(r *kmsg.JoinGroupRequest) { r.Reason = text("because") })},
	{"static", kmsg.JoinGroup, 5, 0, func(x *Exchange) { static(x, "i") }},
	{"static, restarted", kmsg.JoinGroup, 5, 0, func(x *Exchange) {
		m := static(x, "i")
		again := newMember(x, "restarted", x.N)
		again.instance = m.instance
		again.join()
		again.sync(again)
		m.heartbeat(nil)
		again.heartbeat(nil)
	}},
	{"static, with the member id of nobody", kmsg.JoinGroup, 5, 0, func(x *Exchange) {
		m := static(x, "i")
		m.ids = [2]string{"nobody", "nobody"}
		m.join()
	}},
	{"without metadata", kmsg.JoinGroup, 0, 0, func(x *Exchange) {
		m := newMember(x, "member", x.N)
		join := func(side int) kmsg.Request {
			r := m.joining(side)
			for i := range r.Protocols {
				r.Protocols[i].Metadata = nil
			}
			return r
		}
		m.remember(x.SendEach(join))
		if x.V >= 4 {
			m.remember(x.SendEach(join))
		}
	}},

	{"as the leader", kmsg.SyncGroup, 0, 0, syncRequest(func(*kmsg.SyncGroupRequest) {})},
	{"twice", kmsg.SyncGroup, 0, 0, func(x *Exchange) { m := stable(x, x.N); m.sync(m); m.sync() }},
	{"without assignments", kmsg.SyncGroup, 0, 0, syncRequest(func(r *kmsg.SyncGroupRequest) { r.GroupAssignment = nil })},
	{"for members that are not there", kmsg.SyncGroup, 0, 0, syncRequest(func(r *kmsg.SyncGroupRequest) { r.GroupAssignment[0].MemberID = "nobody" })},
	{"wrong generation", kmsg.SyncGroup, 0, 0, syncRequest(func(r *kmsg.SyncGroupRequest) { r.Generation++ })},
	{"unknown member", kmsg.SyncGroup, 0, 0, syncRequest(func(r *kmsg.SyncGroupRequest) { r.MemberID = "nobody" })},
	{"empty group", kmsg.SyncGroup, 0, 0, syncRequest(func(r *kmsg.SyncGroupRequest) { r.Group = "" })},
	{"unknown group", kmsg.SyncGroup, 0, 0, syncRequest(func(r *kmsg.SyncGroupRequest) { r.Group += "-no" })},
	{"wrong protocol", kmsg.SyncGroup, 5, 0, syncRequest(func(r *kmsg.SyncGroupRequest) { r.Protocol = text("roundrobin") })},
	{"wrong protocol type", kmsg.SyncGroup, 5, 0, syncRequest(func(r *kmsg.SyncGroupRequest) { r.ProtocolType = text("connect") })},
	{"without protocol", kmsg.SyncGroup, 5, 0, syncRequest(func(r *kmsg.SyncGroupRequest) { r.Protocol = nil })},
	{"unknown instance", kmsg.SyncGroup, 3, 0, syncRequest(func(r *kmsg.SyncGroupRequest) { r.InstanceID = text("i") })},

	{"good", kmsg.Heartbeat, 0, 0, heartbeat(nil)},
	{"wrong generation", kmsg.Heartbeat, 0, 0, heartbeat(func(r *kmsg.HeartbeatRequest) { r.Generation++ })},
	{"older generation", kmsg.Heartbeat, 0, 0, heartbeat(func(r *kmsg.HeartbeatRequest) { r.Generation-- })},
	{"unknown member", kmsg.Heartbeat, 0, 0, heartbeat(func(r *kmsg.HeartbeatRequest) { r.MemberID = "nobody" })},
	{"unknown group", kmsg.Heartbeat, 0, 0, heartbeat(func(r *kmsg.HeartbeatRequest) { r.Group += "-no" })},
	{"empty group", kmsg.Heartbeat, 0, 0, heartbeat(func(r *kmsg.HeartbeatRequest) { r.Group = "" })},
	{"unknown instance", kmsg.Heartbeat, 3, 0, heartbeat(func(r *kmsg.HeartbeatRequest) { r.InstanceID = text("i") })},
	{"before the assignment", kmsg.Heartbeat, 0, 0, func(x *Exchange) { m := newMember(x, "member", x.N); m.join(); m.heartbeat(nil) }},
	{"of an instance under another id", kmsg.Heartbeat, 3, 0, func(x *Exchange) {
		static(x, "i").heartbeat(func(r *kmsg.HeartbeatRequest) { r.MemberID = "nobody" })
	}},

	{"good", kmsg.LeaveGroup, 0, 0, leave(nil)},
	{"unknown member", kmsg.LeaveGroup, 0, 0, leave(func(r *kmsg.LeaveGroupRequest) { r.MemberID, r.Members[0].MemberID = "nobody", "nobody" })},
	{"unknown group", kmsg.LeaveGroup, 0, 0, leave(func(r *kmsg.LeaveGroupRequest) { r.Group += "-no" })},
	{"empty group", kmsg.LeaveGroup, 0, 0, leave(func(r *kmsg.LeaveGroupRequest) { r.Group = "" })},
	{"twice in one request", kmsg.LeaveGroup, 3, 0, leave(func(r *kmsg.LeaveGroupRequest) { r.Members = append(r.Members, r.Members[0]) })},
	{"nobody", kmsg.LeaveGroup, 3, 0, leave(func(r *kmsg.LeaveGroupRequest) { r.Members = nil })},
	{"by instance", kmsg.LeaveGroup, 3, 0, func(x *Exchange) {
		m := static(x, "i")
		m.leave(func(r *kmsg.LeaveGroupRequest) { r.Members[0].InstanceID = text("j"); r.Members[0].MemberID = "" })
		m.leave(func(r *kmsg.LeaveGroupRequest) { r.Members[0].MemberID = "nobody" })
		m.leave(func(r *kmsg.LeaveGroupRequest) { r.Members[0].MemberID = "" })
	}},

	{"stable", kmsg.DescribeGroups, 0, 0, func(x *Exchange) { stable(x, x.N); x.Send(describe(x.N)) }},
	{"static", kmsg.DescribeGroups, 0, 0, func(x *Exchange) { static(x, "i"); x.Send(describe(x.N)) }},
	{"completing", kmsg.DescribeGroups, 0, 0, func(x *Exchange) { newMember(x, "member", x.N).join(); x.Send(describe(x.N)) }},
	{"preparing", kmsg.DescribeGroups, 0, 0, func(x *Exchange) {
		m := stable(x, x.N)
		other := newMember(x, "other", x.N)
		finish := other.enter()
		x.Until(describe(x.N), func(r kmsg.Response) bool {
			return r.(*kmsg.DescribeGroupsResponse).Groups[0].State == "PreparingRebalance"
		})
		m.join()
		finish()
	}},
	{"empty", kmsg.DescribeGroups, 0, 0, func(x *Exchange) { stable(x, x.N).leave(nil); x.Send(describe(x.N)) }},
	{"only offsets", kmsg.DescribeGroups, 0, 0, func(x *Exchange) { createTopic(x, x.N, 2); x.Send(commit(x.N, x.N, 1)); x.Send(describe(x.N)) }},
	{"unknown and empty name", kmsg.DescribeGroups, 0, 0, func(x *Exchange) { x.Send(describe(x.N, "")) }},
	{"none", kmsg.DescribeGroups, 0, 0, func(x *Exchange) { x.Send(describe()) }},
	{"named twice", kmsg.DescribeGroups, 0, 0, func(x *Exchange) { stable(x, x.N); x.Send(describe(x.N, x.N)) }},
	{"authorized operations", kmsg.DescribeGroups, 3, 0, func(x *Exchange) {
		stable(x, x.N)
		r := describe(x.N)
		r.IncludeAuthorizedOperations = true
		x.Send(r)
	}},

	{"of no members", kmsg.DeleteGroups, 0, 0, func(x *Exchange) { stable(x, x.N).leave(nil); x.Send(deleteGroups(x.N)); x.Send(describe(x.N)) }},
	{"with members", kmsg.DeleteGroups, 0, 0, func(x *Exchange) { stable(x, x.N); x.Send(deleteGroups(x.N)) }},
	{"of offsets", kmsg.DeleteGroups, 0, 0, func(x *Exchange) {
		createTopic(x, x.N, 2)
		x.Send(commit(x.N, x.N, 1))
		x.Send(deleteGroups(x.N))
		x.Send(committed(5, x.N, x.N))
		x.Send(deleteGroups(x.N))
	}},
	{"unknown, empty name, twice", kmsg.DeleteGroups, 0, 0, func(x *Exchange) { x.Send(deleteGroups(x.N, "", x.N)) }},
	{"none", kmsg.DeleteGroups, 0, 0, func(x *Exchange) { x.Send(deleteGroups()) }},

	// Listing comes last, when many groups are there, in states that other cases left them in.
	{"all", kmsg.ListGroups, 0, 0, func(x *Exchange) { x.Send(kmsg.NewPtrListGroupsRequest()) }},
	{"by state", kmsg.ListGroups, 4, 0, func(x *Exchange) {
		for _, states := range [][]string{{"Empty"}, {"stable"}, {"Dead"}, {"Nonsense"}, {}} {
			r := kmsg.NewPtrListGroupsRequest()
			r.StatesFilter = states
			x.Send(r)
		}
	}},
	{"by type", kmsg.ListGroups, 5, 0, func(x *Exchange) {
		for _, types := range [][]string{{"classic"}, {"CONSUMER"}, {"Nonsense"}} {
			r := kmsg.NewPtrListGroupsRequest()
			r.TypesFilter = types
			x.Send(r)
		}
	}},
}

// comeAndGo forms a group of two, has it rebalance, and lets one leave.
func comeAndGo(x *Exchange) {
	x.T.Helper()
	a, b := stable(x, x.N), newMember(x, "second", x.N)
	finish := b.enter()
	noticed := func(r kmsg.Response) bool { return r.(*kmsg.HeartbeatResponse).ErrorCode == 27 }
	for range 500 {
		quiet := *a
		quiet.x = a.x.Unchecked()
		if got := quiet.heartbeat(nil); got[0].response == nil || got[1].response == nil || noticed(got[0].response) && noticed(got[1].response) {
			break
		}
	}
	a.heartbeat(nil)
	a.sync()
	a.join()
	finish()
	waiting := b.x.BeginEach(func(side int) kmsg.Request { return b.syncing(side) })
	a.sync(a, b)
	waiting()
	b.heartbeat(nil)
	b.leave(nil)
	a.heartbeat(nil)
	a.join()
	a.sync(a)
}
