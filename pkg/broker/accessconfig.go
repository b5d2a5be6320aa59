package broker

import (
	"fmt"
	"strings"
)

// User returns the user of the access as an entry of a server's
// authorization.users (docs.nats.io, Authorization). The password is written
// as it is: a quoted string, or a variable of the server's environment.
func (a Access) User(password string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{\n  user: %q, password: %s\n  permissions {\n", a.Name, password)
	list := func(verb string, grants []Grant) {
		fmt.Fprintf(&b, "    %s {\n      allow: [\n", verb)
		for i, g := range grants {
			// One line for why, and below it everything that it is for.
			if i == 0 || grants[i-1].For != g.For {
				fmt.Fprintf(&b, "        # %s\n", g.For)
			}
			fmt.Fprintf(&b, "        %q\n", g.Subject)
		}
		b.WriteString("      ]\n    }\n")
	}
	list("publish", a.Publish)
	list("subscribe", a.Subscribe)
	fmt.Fprintf(&b, "    allow_responses: %t\n  }\n}\n", a.Respond)
	return b.String()
}
