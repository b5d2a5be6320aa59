package access

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/ragbus/ragbus/pkg/config"
)

// BusConfig is the operator's part of a [Signer]. The gateway, the retriever and the generator have it.
type BusConfig struct {
	// Secret is one secret, or several separated by commas: the first signs, all verify.
	Secret config.Secret `env:"RAGBUS_BUS_SECRET"`
}

// Validate implements config.Validator.
func (c BusConfig) Validate() error {
	if _, err := c.Signer(); err != nil {
		return fmt.Errorf("RAGBUS_BUS_SECRET: %w", err)
	}
	return nil
}

// Signer returns the Signer of the secrets, nil without one.
func (c BusConfig) Signer() (*Signer, error) {
	var secrets []string
	for secret := range strings.SplitSeq(c.Secret.Reveal(), ",") {
		if secret = strings.TrimSpace(secret); secret != "" {
			secrets = append(secrets, secret)
		}
	}
	if len(secrets) == 0 {
		return nil, nil //nolint:nilnil // a nil Signer is one, see its documentation
	}
	return NewSigner(secrets...)
}

// Missing returns the problem of a process that shares a bus with others and
// has no secret, though auth, the value of RAGBUS_AUTH, tells callers apart.
func (c BusConfig) Missing(auth string) error {
	if c.Secret != "" || auth != AuthKeys && auth != AuthJWT {
		return nil
	}
	return errors.New("RAGBUS_BUS_SECRET: missing; with RAGBUS_AUTH=" + auth +
		" every service shares a secret of at least 32 bytes that vouches for who asks, e.g. from `openssl rand -base64 48`")
}

// The values of RAGBUS_AUTH.
const (
	// AuthNone lets everyone in who reaches the server, as [Anonymous].
	AuthNone = "none"
	// AuthKeys asks for an API key.
	AuthKeys = "keys"
	// AuthJWT asks for a token of an identity provider.
	AuthJWT = "jwt"
)

// KeptSecret returns the secret in a file, which is made at random, readable
// by its owner only, when it is not there. Nobody else may make it at the
// same time: whoever calls holds the lock of the directory.
func KeptSecret(path string) (config.Secret, error) {
	kept, err := os.ReadFile(path) //nolint:gosec // the operator names the directory
	if errors.Is(err, fs.ErrNotExist) {
		return makeSecret(path)
	}
	if err != nil {
		return "", fmt.Errorf("read the secret of the bus: %w", err)
	}
	secret := strings.TrimSpace(string(kept))
	if len(secret) < MinSecret {
		return "", fmt.Errorf("%s: it has no secret of the bus in it; remove it to have another made", path)
	}
	return config.Secret(secret), nil
}

func makeSecret(path string) (config.Secret, error) {
	var random [MinSecret]byte
	_, _ = rand.Read(random[:]) // never fails, it says
	secret := base64.RawURLEncoding.EncodeToString(random[:])
	// Whole or not at all, also when the process ends meanwhile.
	fresh := path + ".new"
	if err := os.WriteFile(fresh, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the secret of the bus: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return "", fmt.Errorf("keep the secret of the bus: %w", err)
	}
	return config.Secret(secret), nil
}
