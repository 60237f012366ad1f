package server

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/handlers"
)

// codePlan says where the error codes are in a kind of response: its own, and those in structures of its arrays.
type codePlan struct {
	codes  []int // fields
	arrays []codeArray
}

type codeArray struct {
	field   int
	element *codePlan
}

// newCodePlan returns nil for a structure that has no error codes.
func newCodePlan(t reflect.Type) *codePlan {
	var p codePlan
	for i := range t.NumField() {
		switch f := t.Field(i); {
		case f.Name == "ErrorCode" && f.Type.Kind() == reflect.Int16:
			p.codes = append(p.codes, i)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			if element := newCodePlan(f.Type.Elem()); element != nil {
				p.arrays = append(p.arrays, codeArray{i, element})
			}
		}
	}
	if p.codes == nil && p.arrays == nil {
		return nil
	}
	return &p
}

// each calls count with every code but 0.
func (p *codePlan) each(v reflect.Value, count func(int16)) {
	for _, i := range p.codes {
		if code := int16(v.Field(i).Int()); code != 0 {
			count(code)
		}
	}
	for _, a := range p.arrays {
		elements := v.Field(a.field)
		for i := range elements.Len() {
			a.element.each(elements.Index(i), count)
		}
	}
}

// responsePlan is the plan for the responses of a key.
func responsePlan(key int16) *codePlan {
	resp := kmsg.ResponseForKey(key)
	if resp == nil {
		return nil
	}
	return newCodePlan(reflect.TypeOf(resp).Elem())
}

// countErrors counts the error codes of an answer.
func (e *entry) countErrors(a handlers.Answer) {
	switch {
	case a.Reply != nil:
		for _, code := range a.Reply.ErrorCodes() {
			e.counters.failed(code)
		}
	case a.Response != nil && e.plan != nil:
		e.plan.each(reflect.ValueOf(a.Response).Elem(), e.counters.failed)
	}
}
