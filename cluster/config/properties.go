package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// ParseProperties reads a Java .properties file, with the rules of java.util.Properties: '#' and '!' begin comments, a key ends
// at '=', ':' or a blank, a backslash at the end continues a line, backslashes escape. Bytes above 0x7f are taken as UTF-8 where
// they are that, and as Latin-1 (which is all that Java reads) where not. A later key replaces an earlier one.
func ParseProperties(data []byte) (map[string]string, error) {
	props := map[string]string{}
	lines := logicalLines(decodeText(data))
	for _, line := range lines {
		key, value := splitProperty(line)
		k, err := unescape(key)
		if err != nil {
			return nil, fmt.Errorf("parse property %q: %w", key, err)
		}
		if props[k], err = unescape(value); err != nil {
			return nil, fmt.Errorf("parse value of property %q: %w", k, err)
		}
	}
	return props, nil
}

func decodeText(data []byte) string {
	if s := string(data); strings.ToValidUTF8(s, "") == s {
		return s
	}
	var b strings.Builder
	for _, c := range data {
		b.WriteRune(rune(c))
	}
	return b.String()
}

const propertyBlanks = " \t\f"

// logicalLines joins continued lines and drops comments and blank lines.
func logicalLines(text string) []string {
	var lines []string
	var joined string
	var continued bool
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n") {
		line = strings.TrimLeft(line, propertyBlanks)
		if !continued && (line == "" || line[0] == '#' || line[0] == '!') {
			continue
		}
		continued = endsInBackslash(line)
		if continued {
			joined += line[:len(line)-1]
			continue
		}
		lines = append(lines, joined+line)
		joined = ""
	}
	if joined != "" {
		lines = append(lines, joined)
	}
	return lines
}

// endsInBackslash reports whether the line ends in a backslash that is not itself escaped.
func endsInBackslash(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// splitProperty cuts a line at the first '=', ':' or blank that is not escaped.
func splitProperty(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
		} else if strings.IndexByte("=:"+propertyBlanks, line[i]) >= 0 {
			end = i
			break
		}
	}
	key, value = line[:end], strings.TrimLeft(line[end:], propertyBlanks)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], propertyBlanks)
	}
	return key, value
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var units []uint16
	var b strings.Builder
	flush := func() {
		b.WriteString(string(utf16.Decode(units)))
		units = units[:0]
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			flush()
			if s[i] != '\\' {
				b.WriteByte(s[i])
			}
			continue
		}
		i++
		if s[i] != 'u' {
			flush()
			b.WriteByte(escaped(s[i]))
			continue
		}
		unit, err := strconv.ParseUint(s[i+1:min(i+5, len(s))], 16, 16)
		if err != nil || i+5 > len(s) {
			return "", fmt.Errorf(`malformed \uxxxx encoding`)
		}
		units = append(units, uint16(unit)) // halves of a surrogate pair stand in two escapes
		i += 4
	}
	flush()
	return b.String(), nil
}

func escaped(c byte) byte {
	switch c {
	case 't':
		return '\t'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 'f':
		return '\f'
	}
	return c
}
