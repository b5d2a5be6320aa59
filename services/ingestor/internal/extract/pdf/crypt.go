package pdf

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" //nolint:gosec // the format's own key derivation
	"crypto/rc4" //nolint:gosec // the format's own cipher
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"

	"github.com/ragbus/ragbus/pkg/fault"
)

// method is how strings or streams are encrypted.
type method uint8

const (
	methodNone method = iota
	methodRC4
	methodAES128
	methodAES256
)

// decrypter undoes the standard security handler (ISO 32000-2, 7.6) with the
// empty user password, which is what files protected only against printing
// or copying have. The library's own decryption knows neither AES-256 nor
// files whose metadata is left in clear, and gets 40-bit keys wrong.
type decrypter struct {
	key              []byte
	strings, streams method
	clearMetadata    bool
}

var errPassword = errors.New("the empty user password does not fit")

func unsupportedEncryption(what string) error {
	return fault.Permanentf("pdf_encryption_unsupported", "the PDF is encrypted in a way this service cannot read (%s)", what)
}

// newDecrypter derives the file's key. id is the first part of the trailer's ID.
func newDecrypter(dict object, id []byte) (*decrypter, error) {
	if handler, _ := dict.get("Filter"); string(handler.b) != "Standard" {
		return nil, unsupportedEncryption("security handler " + string(handler.b))
	}
	number := func(key string) int {
		v, _ := dict.get(key)
		return v.integer()
	}
	version, revision := number("V"), number("R")
	metadata, ok := dict.get("EncryptMetadata")
	d := &decrypter{clearMetadata: ok && metadata.is("false")}
	length := number("Length") / 8
	switch version {
	case 1, 2, 3:
		d.strings, d.streams = methodRC4, methodRC4
		if version == 1 || length == 0 {
			length = 5
		}
	case 4, 5:
		d.strings, d.streams = cryptMethod(dict, "StrF"), cryptMethod(dict, "StmF")
		length = 16
	default:
		return nil, unsupportedEncryption(fmt.Sprintf("version %d", version))
	}
	var err error
	if version == 5 {
		d.key, err = key256(dict, revision)
	} else {
		d.key, err = keyMD5(dict, id, revision, min(max(length, 5), 16), d.clearMetadata)
	}
	if err != nil {
		return nil, fault.Permanentf("pdf_encrypted",
			"the PDF is encrypted: it needs the user password (the one asked for on opening), which this service does not have").WithCause(err)
	}
	return d, nil
}

// cryptMethod looks up a crypt filter.
func cryptMethod(dict object, which string) method {
	name, ok := dict.get(which)
	if !ok || string(name.b) == "Identity" {
		return methodNone
	}
	filters, _ := dict.get("CF")
	filter, _ := filters.get(string(name.b))
	switch kind, _ := filter.get("CFM"); string(kind.b) {
	case "V2":
		return methodRC4
	case "AESV2":
		return methodAES128
	case "AESV3":
		return methodAES256
	}
	return methodNone
}

// passwordPad is what a password is filled up with (algorithm 2).
func passwordPad() []byte {
	return []byte("\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08" +
		"\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A")
}

// keyMD5 derives the key of revisions 2 to 4 (algorithm 2) and checks it
// against the user entry (algorithms 4 to 6).
func keyMD5(dict object, id []byte, revision, length int, clearMetadata bool) ([]byte, error) {
	owner, _ := dict.get("O")
	user, _ := dict.get("U")
	permissions, _ := dict.get("P")
	p := uint32(int64(permissions.num))
	h := md5.New() //nolint:gosec // the format's own
	h.Write(passwordPad())
	h.Write(owner.b[:min(len(owner.b), 32)])
	h.Write([]byte{byte(p), byte(p >> 8), byte(p >> 16), byte(p >> 24)})
	h.Write(id)
	if revision >= 4 && clearMetadata {
		h.Write([]byte{0xFF, 0xFF, 0xFF, 0xFF})
	}
	key := h.Sum(nil)
	if revision >= 3 {
		for range 50 {
			sum := md5.Sum(key[:length]) //nolint:gosec // the format's own
			key = sum[:]
		}
	}
	key = key[:length]
	want := passwordPad()
	if revision >= 3 {
		sum := md5.Sum(append(passwordPad(), id...)) //nolint:gosec // the format's own
		want = sum[:]
	}
	rounds := 1
	if revision >= 3 {
		rounds = 20
	}
	for i := range rounds {
		round := make([]byte, length)
		for j := range round {
			round[j] = key[j] ^ byte(i)
		}
		want = applyRC4(round, want)
	}
	if len(user.b) < len(want) || !bytes.Equal(user.b[:len(want)], want) {
		return nil, errPassword
	}
	return key, nil
}

func applyRC4(key, data []byte) []byte {
	c, err := rc4.NewCipher(key) //nolint:gosec // the format's own cipher
	if err != nil {
		return data
	}
	out := make([]byte, len(data))
	c.XORKeyStream(out, data)
	return out
}

// key256 derives the key of revisions 5 and 6 (algorithm 2.A).
func key256(dict object, revision int) ([]byte, error) {
	user, _ := dict.get("U")
	wrapped, _ := dict.get("UE")
	if len(user.b) < 48 || len(wrapped.b) < 32 {
		return nil, errPassword
	}
	hash := func(salt []byte) []byte {
		sum := sha256.Sum256(salt)
		if revision < 6 {
			return sum[:]
		}
		return hardenedHash(sum[:])
	}
	if !bytes.Equal(hash(user.b[32:40]), user.b[:32]) {
		return nil, errPassword
	}
	block, err := aes.NewCipher(hash(user.b[40:48]))
	if err != nil {
		return nil, fmt.Errorf("unwrap key: %w", err)
	}
	key := make([]byte, 32)
	cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(key, wrapped.b[:32])
	return key, nil
}

// hardenedHash is algorithm 2.B for the empty password.
func hardenedHash(k []byte) []byte {
	for round := 0; ; round++ {
		data := bytes.Repeat(k, 64)
		block, err := aes.NewCipher(k[:16])
		if err != nil {
			return nil
		}
		cipher.NewCBCEncrypter(block, k[16:32]).CryptBlocks(data, data)
		remainder := 0
		for _, b := range data[:16] {
			remainder += int(b)
		}
		switch remainder % 3 {
		case 0:
			sum := sha256.Sum256(data)
			k = sum[:]
		case 1:
			sum := sha512.Sum384(data)
			k = sum[:]
		default:
			sum := sha512.Sum512(data)
			k = sum[:]
		}
		if round >= 63 && int(data[len(data)-1]) <= round-32 {
			return k[:32]
		}
	}
}

// decrypt undoes a method for data of an object. Data that is too short or
// not whole blocks is returned as far as it goes.
func (d *decrypter) decrypt(m method, number, gen int, data []byte) []byte {
	key := d.key
	if m == methodRC4 || m == methodAES128 {
		seed := append(bytes.Clone(key), byte(number), byte(number>>8), byte(number>>16), byte(gen), byte(gen>>8))
		if m == methodAES128 {
			seed = append(seed, "sAlT"...)
		}
		sum := md5.Sum(seed) //nolint:gosec // the format's own
		key = sum[:min(len(d.key)+5, 16)]
	}
	switch m {
	case methodRC4:
		return applyRC4(key, data)
	case methodAES128, methodAES256:
		return decryptCBC(key, data)
	default:
		return data
	}
}

func decryptCBC(key, data []byte) []byte {
	block, err := aes.NewCipher(key)
	whole := len(data) / aes.BlockSize * aes.BlockSize
	if err != nil || whole < 2*aes.BlockSize {
		return nil
	}
	out := make([]byte, whole-aes.BlockSize)
	cipher.NewCBCDecrypter(block, data[:aes.BlockSize]).CryptBlocks(out, data[aes.BlockSize:whole])
	if pad := int(out[len(out)-1]); pad >= 1 && pad <= aes.BlockSize {
		out = out[:len(out)-pad]
	}
	return out
}
