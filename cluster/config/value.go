package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Type is the kind of a setting's value. The numbers are those of the DescribeConfigs response (KIP-569).
type Type int8

// The types, in the protocol's order.
const (
	Unknown Type = iota // a setting that the table does not hold; its value counts as secret
	Boolean
	String
	Int
	Short
	Long
	Double
	List
	Class
	Password
)

var typeNames = [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}

// String is the type's name in Apache's error texts.
func (t Type) String() string { return typeNames[t] }

// Sensitive reports whether values of the type are never shown. What is unknown might be a secret.
func (t Type) Sensitive() bool { return t == Password || t == Unknown }

// ValueError says that a setting cannot have the value it was given. Its text is Apache's, because tools show it.
type ValueError struct {
	Name   string
	Value  string // "[hidden]" for secrets
	Reason string
}

// Error is Apache's text.
func (e *ValueError) Error() string {
	return fmt.Sprintf("Invalid value %s for configuration %s: %s", e.Value, e.Name, e.Reason)
}

// Hidden stands in logs and messages where a secret would be.
const Hidden = "[hidden]"

// parse turns text into one of bool, string, int64, float64 or []string, the way Java's ConfigDef does: blanks around it
// do not count, a list is cut at commas.
func (t Type) parse(s string) (v any, reason string) {
	s = trim(s)
	switch t {
	case Boolean:
		switch {
		case strings.EqualFold(s, "true"):
			return true, ""
		case strings.EqualFold(s, "false"):
			return false, ""
		}
		return nil, "Expected value to be either true or false"
	case Int:
		return t.parseInt(s, 32)
	case Short:
		return t.parseInt(s, 16)
	case Long:
		return t.parseInt(s, 64)
	case Double:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, "Not a number of type " + t.String()
		}
		return f, ""
	case List:
		return splitList(s), ""
	}
	return s, ""
}

func (t Type) parseInt(s string, bits int) (any, string) {
	n, err := strconv.ParseInt(s, 10, bits)
	if err != nil {
		return nil, "Not a number of type " + t.String()
	}
	return n, ""
}

// splitList reads a setting of type List, in which empty entries count.
func splitList(s string) []string {
	if s == "" {
		return nil
	}
	parts := strings.Split(s, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// csvList reads a list that is a String to Apache, as its Csv.parseCsvList does: empty entries do not count.
func csvList(s string) []string {
	return slices.DeleteFunc(splitList(s), func(entry string) bool { return entry == "" })
}

// pair is an entry name:value of a list.
type pair struct{ name, value string }

// pairs reads a setting that is a list of them, as Apache's Csv.parseCsvMap does: empty entries do not count at the end, and are malformed elsewhere.
func pairs(setting, list string) ([]pair, error) {
	var pairs []pair
	for _, entry := range splitList(strings.TrimRight(list, ", \t")) {
		i := strings.LastIndexByte(entry, ':')
		if i < 0 {
			return nil, fmt.Errorf("Error parsing configuration property '%s': no colon in %q", setting, entry)
		}
		pairs = append(pairs, pair{strings.TrimSpace(entry[:i]), strings.TrimSpace(entry[i+1:])})
	}
	return pairs, nil
}

// format writes a parsed value as Java prints it; what DescribeConfigs shows.
func format(v any) string {
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return formatDouble(v)
	case []string:
		return strings.Join(v, ",")
	}
	s, _ := v.(string)
	return s
}

// formatDouble is Java's Double.toString: decimal between 10^-3 and 10^7, computerized scientific notation outside.
func formatDouble(f float64) string {
	switch abs := math.Abs(f); {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case math.IsNaN(f):
		return "NaN"
	case abs == 0 || abs >= 1e-3 && abs < 1e7:
		return withPoint(strconv.FormatFloat(f, 'f', -1, 64))
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	n, _ := strconv.Atoi(exponent)
	return withPoint(mantissa) + "E" + strconv.Itoa(n)
}

func withPoint(digits string) string {
	if strings.Contains(digits, ".") {
		return digits
	}
	return digits + ".0"
}

// trim is Java's String.trim: every control character and blank at the ends goes.
func trim(s string) string { return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) }
