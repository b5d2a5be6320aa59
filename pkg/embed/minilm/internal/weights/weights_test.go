package weights_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/weights"
)

// TestTheFilesAreThoseOfTheReadme catches a file that a merge, a line-ending
// filter or a rebuild changed, and a provenance that was not kept up with it.
func TestTheFilesAreThoseOfTheReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ content, want string }{
		"minilm-int8.bin": {weights.Model, "6d80bb865f6d426bb68dc54480bab42e7493255466b89b602087d9ce7da42432"},
		"vocab.txt":       {weights.Vocabulary, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"},
	} {
		sum := sha256.Sum256([]byte(c.content))
		if got := hex.EncodeToString(sum[:]); got != c.want {
			t.Errorf("%s has sha256 %s, want %s", name, got, c.want)
		}
		if !strings.Contains(string(readme), "`"+c.want+"`") {
			t.Errorf("README.md does not have the sha256 %s of %s", c.want, name)
		}
	}
}
