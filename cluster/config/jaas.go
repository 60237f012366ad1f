package config

import (
	"fmt"
	"os"
	"strings"
)

// LoginModule is one entry of a JAAS configuration: the class that Java would load, and its options.
type LoginModule struct {
	Class   string
	Control string // required, requisite, sufficient or optional
	Options map[string]string
}

// ParseJAAS reads a JAAS configuration file, which is where Apache's brokers keep the credentials that server.properties has no place
// for: sections by name, each with the login modules in it.
func ParseJAAS(text string) (map[string][]LoginModule, error) {
	p := jaasParser{text: text, line: 1}
	sections := map[string][]LoginModule{}
	for {
		name := p.next()
		if name == "" {
			return sections, p.err
		}
		p.expect("{")
		var modules []LoginModule
		token := p.next()
		for ; token != "}" && p.err == nil; token = p.next() {
			modules = append(modules, p.module(token))
		}
		p.expect(";")
		if p.err != nil {
			return nil, p.err
		}
		sections[name] = modules
	}
}

// ZooKeeperLogin is the user and the password in the JAAS file for the brokers' own way to ZooKeeper; both are empty when there is no
// file, or no section for it in the file, which need not be there for ZooKeeper.
func (v *Values) ZooKeeperLogin() (user, password string, err error) {
	path, section := v.String("gokafka.jaas.file"), v.String("gokafka.zookeeper.jaas.section")
	if path == "" {
		return "", "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("read JAAS file: %w", err)
	}
	sections, err := ParseJAAS(string(text))
	if err != nil {
		return "", "", fmt.Errorf("read %s: %w", path, err)
	}
	modules := sections[section]
	if len(modules) == 0 {
		return "", "", nil
	}
	m := modules[0]
	if m.Class != "org.apache.zookeeper.server.auth.DigestLoginModule" || m.Options["username"] == "" {
		return "", "", fmt.Errorf("section %s of %s: only DigestLoginModule with a username is supported, not %s", section, path, m.Class)
	}
	return m.Options["username"], m.Options["password"], nil
}

// jaasParser reads words, strings and the punctuation {}=; one by one.
type jaasParser struct {
	text   string
	line   int
	quoted bool // the last token was a string
	err    error
}

func (p *jaasParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("JAAS configuration, line %d: "+format, append([]any{p.line}, args...)...)
	}
}

func (p *jaasParser) expect(token string) {
	if got := p.next(); got != token || p.quoted {
		p.fail("%q where %q is due", got, token)
	}
}

func (p *jaasParser) module(class string) LoginModule {
	m := LoginModule{Class: class, Control: p.next(), Options: map[string]string{}}
	for name := p.next(); name != ";" && p.err == nil; name = p.next() {
		if name == "" || name == "}" {
			p.fail("module %s does not end with a semicolon", class)
			break
		}
		p.expect("=")
		m.Options[name] = p.next()
	}
	return m
}

// next is the next token, empty at the end and after an error.
func (p *jaasParser) next() string {
	p.quoted = false
	p.skip()
	if p.text == "" || p.err != nil {
		return ""
	}
	switch c := p.text[0]; {
	case c == '"':
		return p.quotedString()
	case strings.ContainsRune("{}=;", rune(c)):
		return p.take(1)
	}
	end := strings.IndexAny(p.text, " \t\r\n{}=;\"")
	if end < 0 {
		end = len(p.text)
	}
	return p.take(end)
}

func (p *jaasParser) take(n int) string {
	token := p.text[:n]
	p.line += strings.Count(token, "\n")
	p.text = p.text[n:]
	return token
}

// skip passes over blanks and comments.
func (p *jaasParser) skip() {
	for {
		p.take(len(p.text) - len(strings.TrimLeft(p.text, " \t\r\n")))
		var end string
		switch {
		case strings.HasPrefix(p.text, "//"), strings.HasPrefix(p.text, "#"):
			end = "\n"
		case strings.HasPrefix(p.text, "/*"):
			end = "*/"
		default:
			return
		}
		at := strings.Index(p.text, end)
		if at < 0 {
			p.text = ""
			return
		}
		p.take(at + len(end))
	}
}

func (p *jaasParser) quotedString() string {
	p.quoted = true
	var b strings.Builder
	for i := 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			p.take(i + 1)
			return b.String()
		case c == '\\' && i+1 < len(p.text):
			i++
			b.WriteByte(p.text[i])
		default:
			b.WriteByte(c)
		}
	}
	p.fail("a string does not end")
	return ""
}
