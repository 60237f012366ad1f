package config

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Dynamic secrets are stored encrypted, in Apache's form: a list of name:value with the key derivation, the cipher, their
// parameters and the ciphertext, so that brokers of both kinds read each other's.

const (
	aesCBC     = "AES/CBC/PKCS5Padding"
	defaultKDF = "PBKDF2WithHmacSHA512"
	saltBytes  = 256
)

// maxIterations bounds the work that a stored password can ask for.
const maxIterations = 10_000_000

var errNoSecret = errors.New("Password encoder secret not configured")

var derivations = map[string]func() hash.Hash{
	defaultKDF: sha512.New, "PBKDF2WithHmacSHA256": sha256.New, "PBKDF2WithHmacSHA1": sha1.New,
}

func (b *Broker) encrypt(password string) (string, error) {
	v := b.Current()
	secret := v.String("password.encoder.secret")
	if secret == "" {
		return "", errNoSecret
	}
	if c := v.String("password.encoder.cipher.algorithm"); c != aesCBC {
		return "", fmt.Errorf("password.encoder.cipher.algorithm %s is not supported", c)
	}
	p := sealed{kdf: defaultKDF, iterations: v.Int("password.encoder.iterations"), keyBits: v.Int("password.encoder.key.length"), salt: make([]byte, saltBytes)}
	if k := v.String("password.encoder.keyfactory.algorithm"); k != "" {
		p.kdf = k
	}
	_, _ = rand.Read(p.salt) // never fails
	return p.seal(secret, password)
}

// decrypt tries the secret, then the one before it.
func (b *Broker) decrypt(stored string) (string, error) {
	v := b.Current()
	p, err := parseSealed(stored)
	if err != nil {
		return "", err
	}
	err = errNoSecret
	for _, name := range []string{"password.encoder.secret", "password.encoder.old.secret"} {
		if secret := v.String(name); secret != "" {
			var password string
			if password, err = p.open(secret); err == nil {
				return password, nil
			}
		}
	}
	return "", err
}

// sealed is an encrypted password with all that is needed to open it but the secret.
type sealed struct {
	kdf                 string
	iterations, keyBits int
	salt, iv, bytes     []byte
	length              int // of the password in UTF-16 units, as Java counts
}

func (p *sealed) block(secret string) (cipher.Block, error) {
	h := derivations[p.kdf]
	if h == nil || p.iterations < 1 || p.iterations > maxIterations {
		return nil, fmt.Errorf("key derivation %s with %d iterations is not supported", p.kdf, p.iterations)
	}
	if p.keyBits != 128 && p.keyBits != 192 && p.keyBits != 256 {
		return nil, fmt.Errorf("AES keys of %d bits do not exist", p.keyBits)
	}
	key, err := pbkdf2.Key(h, secret, p.salt, p.iterations, p.keyBits/8)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return aes.NewCipher(key)
}

func (p *sealed) seal(secret, password string) (string, error) {
	block, err := p.block(secret)
	if err != nil {
		return "", err
	}
	p.iv = make([]byte, aes.BlockSize)
	_, _ = rand.Read(p.iv)
	pad := aes.BlockSize - len(password)%aes.BlockSize
	p.bytes = append([]byte(password), strings.Repeat(string(rune(pad)), pad)...)
	cipher.NewCBCEncrypter(block, p.iv).CryptBlocks(p.bytes, p.bytes)
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("keyFactoryAlgorithm:%s,cipherAlgorithm:%s,keyLength:%d,salt:%s,iterations:%d,encryptedPassword:%s,passwordLength:%d,initializationVector:%s",
		p.kdf, aesCBC, p.keyBits, encode(p.salt), p.iterations, encode(p.bytes), len(utf16.Encode([]rune(password))), encode(p.iv)), nil
}

func (p *sealed) open(secret string) (string, error) {
	block, err := p.block(secret)
	if err != nil {
		return "", err
	}
	plain := make([]byte, len(p.bytes))
	cipher.NewCBCDecrypter(block, p.iv).CryptBlocks(plain, p.bytes)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize || pad > len(plain) {
		return "", errors.New("wrong secret or damaged password")
	}
	password := string(plain[:len(plain)-pad])
	if len(utf16.Encode([]rune(password))) != p.length {
		return "", errors.New("wrong secret or damaged password: its length is not what it was")
	}
	return password, nil
}

func parseSealed(stored string) (*sealed, error) {
	fields := map[string]string{}
	for _, f := range strings.Split(stored, ",") {
		name, value, _ := strings.Cut(f, ":")
		fields[name] = value
	}
	if c := fields["cipherAlgorithm"]; c != aesCBC {
		return nil, fmt.Errorf("parse encoded password: cipher %q is not supported", c)
	}
	p := &sealed{kdf: fields["keyFactoryAlgorithm"]}
	var errs [6]error
	p.iterations, errs[0] = strconv.Atoi(fields["iterations"])
	p.keyBits, errs[1] = strconv.Atoi(fields["keyLength"])
	p.length, errs[2] = strconv.Atoi(fields["passwordLength"])
	p.salt, errs[3] = base64.StdEncoding.DecodeString(fields["salt"])
	p.iv, errs[4] = base64.StdEncoding.DecodeString(fields["initializationVector"])
	p.bytes, errs[5] = base64.StdEncoding.DecodeString(fields["encryptedPassword"])
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("parse encoded password: %w", err)
	}
	if len(p.iv) != aes.BlockSize || len(p.bytes) == 0 || len(p.bytes)%aes.BlockSize != 0 {
		return nil, errors.New("parse encoded password: not whole cipher blocks")
	}
	return p, nil
}
