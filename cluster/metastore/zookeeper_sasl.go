package metastore

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// ErrAuthFailed says that ZooKeeper does not take this broker for whom it claims to be.
var ErrAuthFailed = errors.New("ZooKeeper refused the credentials")

// Credentials are those of ZooKeeper's DIGEST-MD5, which Apache's brokers find in the Client section of a JAAS file. Nodes that are made
// with them belong to sasl:User.
type Credentials struct{ User, Password string }

// saslConn logs in on a new connection: the library knows nothing of SASL. It lets the library's request for a session and the answer to it
// pass, exchanges its own messages, and is not seen from then on.
type saslConn struct {
	net.Conn
	credentials Credentials
	refused     func(error)

	answer  []byte // to the request for a session, as far as it was read; only the library's one reader touches it
	session bool   // it was read, and there is a session; set before the library reads or writes anything more
	once    sync.Once
	err     error // of the login
}

// sessionAnswerMax bounds the answer to a request for a session, which has 40 bytes or so.
const sessionAnswerMax = 1 << 10

// Read passes on what the server says, and looks for the end of the first answer.
func (c *saslConn) Read(b []byte) (int, error) {
	if c.session {
		if err := c.logIn(); err != nil {
			return 0, err
		}
		return c.Conn.Read(b)
	}
	n, err := c.Conn.Read(b)
	if c.answer = append(c.answer, b[:n]...); len(c.answer) > sessionAnswerMax {
		return 0, errors.New("answer to a request for a ZooKeeper session is too long")
	}
	if len(c.answer) >= 20 && len(c.answer) == 4+int(binary.BigEndian.Uint32(c.answer)) {
		c.session = binary.BigEndian.Uint64(c.answer[12:]) != 0 // else the session has expired, and the connection ends
	}
	return n, err
}

// Write logs in before the first request after the one for a session.
func (c *saslConn) Write(b []byte) (int, error) {
	if c.session {
		if err := c.logIn(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

// logIn does so once; whoever comes second waits.
func (c *saslConn) logIn() error {
	c.once.Do(func() {
		if c.err = c.exchange(); errors.Is(c.err, ErrAuthFailed) {
			c.refused(c.err)
		}
	})
	return c.err
}

// exchange asks for a challenge, answers it, and checks that the server knows the password too.
func (c *saslConn) exchange() error {
	challenge, err := c.say(nil)
	if err != nil {
		return err
	}
	d, err := newDigest(c.credentials, challenge)
	if err != nil {
		return err
	}
	proof, err := c.say([]byte(d.response()))
	if err != nil {
		return err
	}
	if !d.confirmedBy(proof) {
		return fmt.Errorf("%w: it does not know the password itself", ErrAuthFailed)
	}
	return nil
}

const (
	saslOp  = 102
	saslXid = 1 << 30 // the library counts its own from 1
)

// say sends one message of the exchange and returns the server's.
func (c *saslConn) say(token []byte) ([]byte, error) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(12+len(token)))
	frame = binary.BigEndian.AppendUint32(frame, saslXid)
	frame = binary.BigEndian.AppendUint32(frame, saslOp)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(token)))
	if _, err := c.Conn.Write(append(frame, token...)); err != nil {
		return nil, fmt.Errorf("log in to ZooKeeper: %w", err)
	}
	var head [20]byte // length, xid, zxid, error
	if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
		return nil, refusal(err)
	}
	rest := int(binary.BigEndian.Uint32(head[:])) - 16
	switch code := int32(binary.BigEndian.Uint32(head[16:])); {
	case code != 0:
		return nil, fmt.Errorf("%w: error %d", ErrAuthFailed, code)
	case binary.BigEndian.Uint32(head[4:]) != saslXid || rest < 4 || rest > sessionAnswerMax:
		return nil, errors.New("log in to ZooKeeper: the answer makes no sense")
	}
	body := make([]byte, rest)
	if _, err := io.ReadFull(c.Conn, body); err != nil {
		return nil, fmt.Errorf("log in to ZooKeeper: %w", err)
	}
	n := int32(binary.BigEndian.Uint32(body))
	if n < 0 {
		return nil, nil
	}
	if int(n) > len(body)-4 {
		return nil, errors.New("log in to ZooKeeper: the answer is cut")
	}
	return body[4 : 4+n], nil
}

// refusal is a connection that ended where an answer was due: how some servers say no.
func refusal(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it closed the connection", ErrAuthFailed)
	}
	return fmt.Errorf("log in to ZooKeeper: %w", err)
}

// digest is the client's side of DIGEST-MD5 (RFC 2831), for the one realm and service that ZooKeeper has.
type digest struct {
	Credentials
	realm, nonce, cnonce string
}

// digestURI is what ZooKeeper's clients all name.
const digestURI = "zookeeper/zk-sasl-md5"

func newDigest(c Credentials, challenge []byte) (*digest, error) {
	fields := directives(string(challenge))
	d := &digest{Credentials: c, realm: fields["realm"], nonce: fields["nonce"]}
	if d.nonce == "" {
		return nil, errors.New("log in to ZooKeeper: the challenge has no nonce")
	}
	d.cnonce = rand.Text()
	return d, nil
}

func (d *digest) response() string {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace
	return fmt.Sprintf(`charset=utf-8,username="%s",realm="%s",nonce="%s",nc=00000001,cnonce="%s",digest-uri="%s",maxbuf=65536,response=%s,qop=auth,authzid="%s"`,
		quoted(d.User), quoted(d.realm), quoted(d.nonce), d.cnonce, digestURI, d.proof("AUTHENTICATE"), quoted(d.User))
}

// confirmedBy checks the server's proof.
func (d *digest) confirmedBy(answer []byte) bool {
	proof := directives(string(answer))["rspauth"]
	return subtle.ConstantTimeCompare([]byte(proof), []byte(d.proof(""))) == 1
}

func (d *digest) proof(method string) string {
	secret := md5.Sum([]byte(d.User + ":" + d.realm + ":" + d.Password))
	a1 := bytes.Join([][]byte{secret[:], []byte(d.nonce), []byte(d.cnonce), []byte(d.User)}, []byte(":"))
	return hexMD5(hexMD5(string(a1)) + ":" + d.nonce + ":00000001:" + d.cnonce + ":auth:" + hexMD5(method+":"+digestURI))
}

func hexMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// directives reads a list of name=value and name="value".
func directives(s string) map[string]string {
	found := map[string]string{}
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		value := ""
		if rest, ok = strings.CutPrefix(rest, `"`); ok {
			value, rest = unquoted(rest)
			_, s, _ = strings.Cut(rest, ",")
		} else {
			value, s, _ = strings.Cut(rest, ",")
		}
		found[strings.TrimSpace(name)] = value
	}
	return found
}

// unquoted reads up to the closing quote.
func unquoted(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}
