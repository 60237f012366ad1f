package protocol

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
)

// schema is a request's layout as the table has it. Flexible is the first version with compact lengths and tags, or -1.
type schema struct {
	key, flexible int16
	fields        string
}

type kind uint8

const (
	kindScalar kind = iota
	kindString
	kindBytes
	kindStruct
	kindScalars // an array of scalars
	kindStrings // an array of strings
	kindStructs // an array of structures
)

// span is a range of versions, both ends included. The zero span would be version 0 only, so an absent one is noVersion.
type span struct{ first, last int16 }

var (
	everyVersion = span{0, math.MaxInt16}
	noVersion    = span{1, 0}
)

func (s span) has(version int16) bool { return s.first <= version && version <= s.last }

// node is a field of a parsed schema.
type node struct {
	kind     kind
	name     string // of arrays and structures
	width    int    // bytes on the wire: of the scalar, or of each scalar in the array
	versions span
	nullable span
	tag      int // -1: not tagged
	children []node
}

// shape is the layout of a structure in one version: what a walker of its bytes needs.
type shape struct {
	fields   []step
	tagged   []step
	flexible bool
	bytes    bool // there are bytes in it, which kmsg does not copy
	wireMin  int  // the fewest bytes that the structure takes on the wire
	size     int  // the bytes that one kmsg structure takes in memory, without what it points to
}

// step is a field of a shape, or several scalars in a row.
type step struct {
	kind     kind
	nullable bool
	tag      int
	width    int // of scalars
	name     string
	shape    *shape // of structures
}

// requestShapes has the shapes of every version of a request.
type requestShapes struct {
	flexible int16
	versions []*shape
}

// maxVersions is above every version in the table of schemas. A version that no schema knows is not an error here: whether a
// request is served is decided by the table of handlers.
const maxVersions = 18

// shapes are made once, when the first request comes.
var shapes = sync.OnceValue(func() map[int16]requestShapes {
	m := make(map[int16]requestShapes, len(schemas))
	for _, s := range schemas {
		p := schemaParser{tokens: tokenize(s.fields)}
		nodes := p.nodes("")
		rs := requestShapes{flexible: s.flexible, versions: make([]*shape, maxVersions)}
		for v := range rs.versions {
			rs.versions[v] = newShape(nodes, int16(v), s.flexible >= 0 && int16(v) >= s.flexible)
		}
		m[s.key] = rs
	}
	return m
})

// isFlexible reports whether a request's header and body are of the flexible kind (KIP-482), and whether the key is known.
// It has an answer for versions that do not exist: ApiVersions is answered in any version.
func isFlexible(key, version int16) (flexible, known bool) {
	rs, known := shapes()[key]
	return known && rs.flexible >= 0 && version >= rs.flexible, known
}

// KeepsFrame reports whether a decoded request of this kind points into the frame that it came in. The values of tags that
// kmsg does not know do too, and are not counted: nobody looks at them.
func KeepsFrame(key, version int16) bool {
	rs, known := shapes()[key]
	return !known || version < 0 || int(version) >= len(rs.versions) || rs.versions[version].bytes
}

// newShape leaves out what the version does not have, and joins scalars that follow each other.
func newShape(nodes []node, version int16, flexible bool) *shape {
	s := &shape{flexible: flexible, size: sizeInMemory(nodes)}
	for _, n := range nodes {
		st := step{kind: n.kind, nullable: n.nullable.has(version), tag: n.tag, width: n.width, name: n.name}
		if n.kind == kindStruct || n.kind == kindStructs {
			st.shape = newShape(n.children, version, flexible)
			s.bytes = s.bytes || st.shape.bytes
		}
		s.bytes = s.bytes || n.kind == kindBytes
		switch last := len(s.fields) - 1; {
		case n.tag >= 0:
			// kmsg reads a tag that it knows in every flexible version, so every version is checked.
			s.tagged = append(s.tagged, st)
		case !n.versions.has(version):
		case n.kind == kindScalar && last >= 0 && s.fields[last].kind == kindScalar:
			s.fields[last].width += n.width
		default:
			s.fields = append(s.fields, st)
		}
	}
	s.wireMin = s.fewestBytes()
	return s
}

// fewestBytes adds up empty strings and arrays.
func (s *shape) fewestBytes() int {
	n, length, stringLength := 0, 4, 2
	if s.flexible {
		n, length, stringLength = 1, 1, 1
	}
	for _, f := range s.fields {
		switch f.kind {
		case kindScalar:
			n += f.width
		case kindString:
			n += stringLength
		case kindStruct:
			n += f.shape.wireMin
		default:
			n += length
		}
	}
	return n
}

// scalarAlign is how scalars of a width are aligned in memory; a uuid is an array of bytes.
var scalarAlign = map[int]int{1: 1, 2: 2, 4: 4, 8: 8, 16: 1}

// sizeInMemory is the size of kmsg's structure: every field of every version, aligned, and a map of unknown tags.
func sizeInMemory(nodes []node) int {
	const pointer, str, slice, tags = 8, 16, 24, 8
	size := 0
	add := func(bytes, align int) { size = (size+align-1)/align*align + bytes }
	for _, n := range nodes {
		switch n.kind {
		case kindScalar:
			add(n.width, scalarAlign[n.width])
		case kindString:
			if n.nullable != noVersion {
				add(pointer, pointer)
			} else {
				add(str, pointer)
			}
		case kindStruct:
			add(sizeInMemory(n.children), pointer)
		default:
			add(slice, pointer)
		}
	}
	add(tags, pointer)
	return size
}

// schemaParser reads the table's grammar. The table is part of the program, so a mistake in it is a panic.
type schemaParser struct{ tokens []string }

// tokenize splits at spaces and around brackets; what follows a closing bracket stays with it.
func tokenize(s string) []string {
	return strings.Fields(strings.NewReplacer("[", "[ ", "{", "{ ", "]", " ]", "}", " }").Replace(s))
}

// nodes reads fields up to a token that begins with end.
func (p *schemaParser) nodes(end string) []node {
	var list []node
	for len(p.tokens) > 0 && (end == "" || !strings.HasPrefix(p.tokens[0], end)) {
		list = append(list, p.node())
	}
	return list
}

func (p *schemaParser) next() string {
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *schemaParser) node() node {
	n := node{versions: everyVersion, nullable: noVersion, tag: -1}
	token := p.next()
	if name, ok := strings.CutSuffix(token, "["); ok {
		n.name = name
		n.kind, n.width, n.children = arrayOf(p.nodes("]"))
		token = p.next()[1:]
	} else if name, ok := strings.CutSuffix(token, "{"); ok {
		n.name, n.children, n.kind = name, p.nodes("}"), kindStruct
		token = p.next()[1:]
	} else {
		marks := strings.IndexAny(token+"?", "?@#")
		n.kind, n.width = scalar(token[:marks])
		token = token[marks:]
	}
	n.mark(token)
	return n
}

// arrayOf tells an array of one bare type from an array of structures.
func arrayOf(elements []node) (kind, int, []node) {
	if len(elements) == 1 {
		switch e := elements[0]; {
		case e.kind == kindScalar:
			return kindScalars, e.width, nil
		case e.kind == kindString:
			return kindStrings, 0, nil
		case e.kind == kindStruct && e.name == "":
			return kindStructs, 0, e.children
		}
	}
	return kindStructs, 0, elements
}

func scalar(name string) (kind, int) {
	switch name {
	case "int8":
		return kindScalar, 1
	case "int16":
		return kindScalar, 2
	case "int32":
		return kindScalar, 4
	case "int64":
		return kindScalar, 8
	case "uuid":
		return kindScalar, 16
	case "string":
		return kindString, 0
	case "bytes":
		return kindBytes, 0
	}
	panic(fmt.Sprintf("schema: unknown type %q", name))
}

// mark reads what follows a field's type: ?versions, @versions, #tag.
func (n *node) mark(marks string) {
	for marks != "" {
		end := 1 + strings.IndexAny(marks[1:]+"?", "?@#")
		mark, value := marks[0], marks[1:end]
		marks = marks[end:]
		switch mark {
		case '?':
			n.nullable = parseSpan(value)
		case '@':
			n.versions = parseSpan(value)
		case '#':
			n.tag = mustAtoi(value)
		}
	}
}

// parseSpan reads "3", "3+", "3-5", or nothing for every version.
func parseSpan(s string) span {
	if s == "" {
		return everyVersion
	}
	if from, open := strings.CutSuffix(s, "+"); open {
		return span{int16(mustAtoi(from)), math.MaxInt16}
	}
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		last = first
	}
	return span{int16(mustAtoi(first)), int16(mustAtoi(last))}
}

func mustAtoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(fmt.Sprintf("schema: %v", err))
	}
	return n
}
