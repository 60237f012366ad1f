package config

import (
	"maps"
	"slices"
)

// Source says which layer a value came from, with the numbers of the DescribeConfigs response.
type Source int8

// The sources, in the protocol's order.
const (
	_ Source = iota
	TopicSource
	DynamicBroker
	DynamicDefaultBroker
	StaticBroker
	Default
	DynamicBrokerLogger
)

// Entry is a setting as DescribeConfigs shows it.
type Entry struct {
	Name      string
	Value     *string // nil: none, or a secret
	Source    Source
	Sensitive bool
	ReadOnly  bool
	Type      Type
	Synonyms  []Synonym // all layers that give a value, the one that counts first
	Doc       string
}

// Synonym is the value that one layer gives a setting, perhaps under another name.
type Synonym struct {
	Name   string
	Value  *string // nil: a secret
	Source Source
}

// DescribeBroker lists the settings of this broker that wanted asks for (nil: all), by name: those of the table, and others
// that were set, whose values are never shown.
func (b *Broker) DescribeBroker(wanted func(name string) bool) []Entry {
	v := b.Current()
	d := b.describer()
	names := slices.Clone(brokerNames)
	for name := range v.given {
		if k := apaches[name]; k == nil || k.Internal {
			names = append(names, name)
		}
	}
	return describe(names, wanted, func(name string) Entry {
		var value *string
		if k := apaches[name]; k != nil {
			value = v.text(name)
		} else {
			value = new(v.given[name])
		}
		return d.brokerEntry(name, value, d.synonyms(name, brokerSynonyms(name, true)))
	})
}

// DescribeDefault lists the settings of the dynamic layer for all brokers.
func (b *Broker) DescribeDefault(wanted func(name string) bool) []Entry {
	d := b.describer()
	return describe(slices.Collect(maps.Keys(d.all)), wanted, func(name string) Entry {
		synonyms := slices.DeleteFunc(d.synonyms(name, brokerSynonyms(name, true)), func(s Synonym) bool { return s.Source != DynamicDefaultBroker })
		return d.brokerEntry(name, new(d.all[name]), synonyms)
	})
}

// DescribeTopic lists the settings of a topic for which these are set.
func (b *Broker) DescribeTopic(set map[string]string, wanted func(name string) bool) ([]Entry, error) {
	v, err := b.Current().TopicValues(set)
	if err != nil {
		return nil, err
	}
	d := b.describer()
	names := slices.Clone(topicNames)
	for name := range set {
		if topics[name] == nil {
			names = append(names, name)
		}
	}
	return describe(names, wanted, func(name string) Entry { return d.topicEntry(name, v) }), nil
}

func describe(names []string, wanted func(string) bool, entry func(name string) Entry) []Entry {
	slices.Sort(names)
	entries := make([]Entry, 0, len(names))
	for _, name := range names {
		if wanted == nil || wanted(name) {
			entries = append(entries, entry(name))
		}
	}
	return entries
}

// text is a parsed value as text; nil when there is none.
func (v *Values) text(name string) *string {
	if v.parsed[name] == nil {
		return nil
	}
	return new(format(v.parsed[name]))
}

// describer holds the layers at one moment.
type describer struct {
	broker, all, static, defaults map[string]string
}

func (b *Broker) describer() describer {
	broker, all := b.layers()
	return describer{broker: broker, all: all, static: b.static, defaults: b.defaults}
}

func (d describer) defaultOf(name string) (string, bool) {
	if text, ok := d.defaults[name]; ok {
		return text, true
	}
	k := apaches[name]
	if k == nil || k.Default == null {
		return "", false
	}
	return k.Default, true
}

// synonyms lists what the layers hold under the names. What comes before the setting's own name belongs to others, such as a
// listener's own value when the setting of all listeners is described.
func (d describer) synonyms(name string, names []string) []Synonym {
	sensitive := brokerType(name).Sensitive()
	var found []Synonym
	add := func(name, text string, source Source) {
		s := Synonym{Name: name, Source: source}
		if !sensitive {
			s.Value = &text
		}
		found = append(found, s)
	}
	for _, layer := range []struct {
		values map[string]string
		source Source
	}{{d.broker, DynamicBroker}, {d.all, DynamicDefaultBroker}, {d.static, StaticBroker}} {
		for _, n := range names {
			if text, ok := layer.values[n]; ok {
				add(n, text, layer.source)
			}
		}
	}
	for _, n := range names {
		if text, ok := d.defaultOf(n); ok {
			add(n, text, Default)
		}
	}
	for len(found) > 0 && found[0].Name != name {
		found = found[1:]
	}
	return found
}

func (d describer) brokerEntry(name string, value *string, synonyms []Synonym) Entry {
	k := apaches.brokerKey(name)
	e := Entry{Name: name, Value: value, Source: Default, Type: brokerType(name), Synonyms: synonyms, ReadOnly: true}
	if own := apaches[name]; own != nil {
		e.ReadOnly = own.Scope == ReadOnly
		e.Doc = own.Doc
	}
	if k == nil || k.Type.Sensitive() {
		e.Sensitive, e.Value = true, nil
	}
	if len(synonyms) > 0 {
		e.Source = synonyms[0].Source
	}
	return e
}

func (d describer) topicEntry(name string, v *Values) Entry {
	k := topics[name]
	if k == nil {
		return Entry{Name: name, Source: TopicSource, Sensitive: true, Synonyms: []Synonym{{Name: name, Source: TopicSource}}}
	}
	e := Entry{Name: name, Value: v.text(name), Source: Default, Type: k.Type, Doc: k.Doc}
	if v.Given(name) {
		e.Synonyms = append(e.Synonyms, Synonym{Name: name, Value: e.Value, Source: TopicSource})
	}
	if broker, ok := topicSynonyms[name]; ok {
		e.Synonyms = append(e.Synonyms, d.synonyms(broker, brokerSynonyms(broker, true))...)
	}
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	return e
}
