package wire

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// field is one value of an answer: where it stands and what it is, in a form that is the same on both sides if they agree.
type field struct{ path, value string }

// flatten walks an answer and renders every field. Elements of arrays whose order means nothing are sorted first.
func flatten(s *Side, r rule, resp kmsg.Response) []field {
	f := flattener{side: s, rule: r}
	f.walk("", "", reflect.ValueOf(resp).Elem())
	return f.fields
}

type flattener struct {
	side   *Side
	rule   rule
	fields []field
	dry    bool // rendering for a sort key: drawn values are not numbered yet
}

// walk renders v. path has indexes, pattern has none: rules are written in terms of patterns, as Topics.Partitions.Offset.
func (f *flattener) walk(path, pattern string, v reflect.Value) {
	if slices.Contains(f.rule.ignore, pattern) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		f.walkStruct(path, pattern, v)
	case reflect.Pointer:
		if v.IsNil() {
			f.add(path, "null")
			return
		}
		f.walk(path, pattern, v.Elem())
	case reflect.Slice:
		f.walkSlice(path, pattern, v)
	case reflect.Array:
		f.add(path, f.id(v))
	default:
		f.add(path, f.scalar(pattern, v))
	}
}

func (f *flattener) add(path, value string) { f.fields = append(f.fields, field{path, value}) }

func (f *flattener) walkStruct(path, pattern string, v reflect.Value) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "Version" && path == "" || name == "UnknownTags" {
			continue // what tags hold is compared as bytes
		}
		f.walk(join(path, name), join(pattern, name), v.Field(i))
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (f *flattener) walkSlice(path, pattern string, v reflect.Value) {
	if v.IsNil() {
		f.add(path, "null")
		return
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		f.add(path, f.bytes(pattern, v.Bytes()))
		return
	}
	f.add(path, fmt.Sprintf("%d elements", v.Len()))
	order := f.order(pattern, v)
	names := labels(v, order)
	for i, at := range order {
		f.walk(fmt.Sprintf("%s[%s]", path, names[i]), pattern, v.Index(at))
	}
}

// labels name elements by their names, a name's first element at least, which reads better when a long list differs, else by index.
func labels(v reflect.Value, order []int) []string {
	out := make([]string, v.Len())
	seen := map[string]bool{}
	for i, at := range order {
		out[i] = fmt.Sprint(i)
		if e := v.Index(at); e.Kind() == reflect.Struct {
			if name := e.FieldByName("Name"); name.IsValid() && name.Kind() == reflect.String && !seen[name.String()] {
				out[i] = name.String()
				seen[out[i]] = true
			}
		}
	}
	return out
}

// order is the order in which to compare the elements of an array.
func (f *flattener) order(pattern string, v reflect.Value) []int {
	order := make([]int, v.Len())
	keys := make([]string, v.Len())
	for i := range order {
		order[i] = i
	}
	if !slices.Contains(f.rule.unordered, pattern) {
		return order
	}
	for i := range keys {
		sub := flattener{side: f.side, rule: f.rule, dry: true}
		sub.walk("", pattern, v.Index(i))
		keys[i] = fmt.Sprint(sub.fields)
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(keys[a], keys[b]) })
	return order
}

func (f *flattener) id(v reflect.Value) string {
	if v.IsZero() {
		return "zero id"
	}
	return f.token("id", fmt.Sprintf("%x", v.Interface()))
}

func (f *flattener) token(kind, value string) string {
	if f.dry {
		return f.side.known(kind, value)
	}
	return f.side.token(kind, value)
}

func (f *flattener) bytes(pattern string, b []byte) string {
	if strings.HasSuffix(pattern, "RecordBatches") {
		return describeRecords(b)
	}
	return "0x" + hex.EncodeToString(b)
}

func (f *flattener) scalar(pattern string, v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return f.text(pattern, v.String())
	case reflect.Int16:
		if strings.HasSuffix(pattern, "ErrorCode") {
			return code(int16(v.Int()))
		}
	case reflect.Int32:
		if strings.HasSuffix(pattern, "Port") && int32(v.Int()) == f.side.port {
			return "<port>"
		}
	case reflect.Int64:
		if now := time.Since(time.UnixMilli(v.Int())).Abs() < time.Hour; now {
			return "<now>"
		}
	}
	if slices.Contains(f.rule.drawn, pattern) && !v.IsZero() && v.Int() >= 0 {
		return f.token(pattern, fmt.Sprint(v.Int()))
	}
	return fmt.Sprint(v.Interface())
}

func (f *flattener) text(pattern, v string) string {
	if strings.HasSuffix(pattern, "ErrorMessage") {
		return "a message"
	}
	if f.dry {
		return uuid.ReplaceAllStringFunc(v, func(id string) string { return f.side.known("uuid", id) })
	}
	return fmt.Sprintf("%q", f.side.text(v))
}

func code(c int16) string {
	if c == 0 {
		return "NONE"
	}
	if err := kerr.TypedErrorForCode(c); err != nil {
		return err.Message
	}
	return fmt.Sprint(c)
}

// differences lists where two rendered answers disagree, the first few of them.
func differences(names [2]string, a, b []field) []string {
	const most = 12
	values := map[string]string{}
	for _, f := range b {
		values[f.path] = f.value
	}
	var out []string
	for _, f := range a {
		other, ok := values[f.path]
		delete(values, f.path)
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s: %s has %s, %s has no such field", f.path, names[0], f.value, names[1]))
		case other != f.value:
			out = append(out, fmt.Sprintf("%s: %s %s, %s %s", f.path, names[0], f.value, names[1], other))
		}
	}
	for _, f := range b {
		if _, left := values[f.path]; left {
			out = append(out, fmt.Sprintf("%s: %s has %s, %s has no such field", f.path, names[1], f.value, names[0]))
		}
	}
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("and %d more", len(out)-most))
	}
	return out
}
