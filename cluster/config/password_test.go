package config

import (
	"strings"
	"testing"
)

// encodedByApache is "päss,wort=1" under the secret "geheim".
const encodedByApache = "initializationVector:R74DpGPC/48zsVxLxk1ujw==,keyLength:128,salt:YFhrU9+3M3cvbGbv9GiQqRdZHk7gw78H0wdZpQ/rPCAcAPgKTvey1/Cv8GVYbzWb+6KR8qpekd+btVQ6IAA+fnp342WZgAXNIssHDnZUbrH2BqKoUm4J8T+5EtTLry3fiQ3UklTJNfoDWvLGrS2GDnb9Ts4BUlGpS3X6zryu35V5rtG1dponNFa/4gvkzhPaV8ZSHTGmUkkFj/b6/894hpdhvK9au3TEo5U0da7Ukj3vjpqqUsK9pehMn5Og58ZoOACXM0ApMk40eTrzNmklQqqX0TlkAW6sylGeL/ysIn1gDDd7zdXrwNeE5i/xVrGZS+oHOBIUIpLHW4FSPtf88w==,keyFactoryAlgorithm:PBKDF2WithHmacSHA512,cipherAlgorithm:AES/CBC/PKCS5Padding,iterations:4096,passwordLength:11,encryptedPassword:7dp7PIZqewlx7bKmsnSAVg=="

func secretBroker(t *testing.T, settings map[string]string) *Broker {
	t.Helper()
	b, err := Load(Sources{File: settings})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const jaasSetting = "listener.name.plaintext.sasl.jaas.config"

func TestPasswordsOfApacheAreRead(t *testing.T) {
	for name, settings := range map[string]map[string]string{
		"secret":     {"password.encoder.secret": "geheim"},
		"old secret": {"password.encoder.secret": "new", "password.encoder.old.secret": "geheim"},
	} {
		props, err := secretBroker(t, settings).Decode(map[string]string{jaasSetting: encodedByApache}, true)
		if err != nil || props[jaasSetting] != "päss,wort=1" {
			t.Errorf("%s: %q, %v", name, props, err)
		}
	}
}

func TestPasswordRoundTrip(t *testing.T) {
	b := secretBroker(t, map[string]string{"password.encoder.secret": "s", "password.encoder.key.length": "256"})
	for _, password := range []string{"", "x", "exactly16bytes!!", "päss 😀"} {
		stored, err := b.Encode(map[string]string{jaasSetting: password, "log.roll.ms": "1"}, true)
		if err != nil {
			t.Fatal(err)
		}
		if stored["log.roll.ms"] != "1" || stored[jaasSetting] == password {
			t.Errorf("stored %q", stored)
		}
		props, err := b.Decode(stored, true)
		if err != nil || props[jaasSetting] != password {
			t.Errorf("%q came back as %q, %v", password, props[jaasSetting], err)
		}
	}
}

func TestPasswordsNeedASecret(t *testing.T) {
	b := secretBroker(t, nil)
	if _, err := b.Encode(map[string]string{jaasSetting: "x"}, true); err == nil || err.Error() != "Password encoder secret not configured" {
		t.Errorf("got %v", err)
	}
	if _, err := secretBroker(t, map[string]string{"password.encoder.secret": "s"}).Encode(map[string]string{jaasSetting: "x"}, false); err == nil {
		t.Error("a secret was accepted for all brokers")
	}
}

func TestDamagedPasswordsAreLeftOut(t *testing.T) {
	b := secretBroker(t, map[string]string{"password.encoder.secret": "wrong"})
	for _, stored := range []string{encodedByApache, "", "keyLength:1", encodedByApache[:200], strings.Replace(encodedByApache, "keyLength:128", "keyLength:99999999999", 1), "cipherAlgorithm:AES/CBC/PKCS5Padding,iterations:1,keyLength:128,passwordLength:1,salt:,initializationVector:,encryptedPassword:"} {
		props, err := b.Decode(map[string]string{jaasSetting: stored, "log.roll.ms": "1"}, true)
		if _, kept := props[jaasSetting]; kept || err == nil || props["log.roll.ms"] != "1" {
			t.Errorf("%.40q: %q, %v", stored, props, err)
		}
	}
}

func FuzzDecodePassword(f *testing.F) {
	b, err := Load(Sources{File: map[string]string{"password.encoder.secret": "s"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(strings.Replace(encodedByApache, "iterations:4096", "iterations:1", 1))
	f.Fuzz(func(t *testing.T, stored string) {
		if p, err := parseSealed(stored); err == nil && p.iterations > 100 {
			return // slow, which is its purpose
		}
		if _, err := b.decrypt(stored); err == nil {
			t.Logf("%q was opened", stored)
		}
	})
}
