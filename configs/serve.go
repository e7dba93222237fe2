package configs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/rapport-ml/rapport/features/policy"
)

// ListenDefault is where rapport serve answers unless it is told otherwise: this machine alone can reach it.
const ListenDefault = "127.0.0.1:8321"

// Roles are what a token of serve.tokens may be used for.
var Roles = []string{"reader", "operator", "approver", "privacy"}

// ServeToken is a token that callers of rapport serve may send. Printing it shows no secret.
type ServeToken struct {
	Name       string
	Roles      []string
	Secret     string
	AlertAbove int64 // people an hour; 0: any number
}

// String leaves the secret out.
func (t ServeToken) String() string { return fmt.Sprintf("token %s of %v", t.Name, t.Roles) }

// GoString leaves the secret out.
func (t ServeToken) GoString() string { return t.String() }

const (
	// plainToken is the name of serve.token in logs, which no entry of serve.tokens can have.
	plainToken = "serve.token"
	localName  = "local" // of who asks a server without tokens

	leastToken = 16 // characters: what is shorter can be guessed
)

// checkTokens reports what is wrong with serve.tokens.
func (p *Project) checkTokens() {
	d := p.dec
	if p.Serve.AlertAbove < 0 {
		d.at("serve.alert_above", "leave it out, and nobody is told", "less than nothing")
	}
	named, places := map[string]int{}, map[string]int{}
	if p.Serve.Token != "" {
		places[p.Serve.Token] = -1
	}
	for i, t := range p.Serve.Tokens {
		path := fmt.Sprintf("serve.tokens[%d]", i)
		switch before, again := named[t.Name]; {
		case t.Name == "":
			d.at(path+".name", "as shop: it stands in the access log and in alerts", "missing")
		case !policy.ValidName(t.Name) || t.Name == localName:
			d.at(path+".name", "1 to 64 of a-z, 0-9, _ and -, beginning with a letter, and not local", "%q is no name of a token", t.Name)
		case again:
			d.at(path+".name", "a name each", "serve.tokens[%d] has it too", before)
		}
		named[t.Name] = i
		if len(t.Role) == 0 {
			d.at(path+".role", "one of "+strings.Join(Roles, ", ")+", or a list of them", "missing")
		}
		for _, role := range t.Role {
			oneOf(d, path+".role", role, Roles...)
		}
		if t.Token == "" {
			d.at(path+".token", "where it stands: "+secretPlaces, "missing")
		} else {
			p.checkSecret(path+".token", t.Token)
			if before, again := places[t.Token]; again {
				other := plainToken
				if before >= 0 {
					other = fmt.Sprintf("serve.tokens[%d]", before)
				}
				d.at(path+".token", "a token each, or nobody can tell who asked", "%s stands in the same place", other)
			}
			places[t.Token] = i
		}
		if t.AlertAbove != nil && *t.AlertAbove < 0 {
			d.at(path+".alert_above", "0 tells nobody", "less than nothing")
		}
	}
}

// ErrUnreadToken says that the place of a token could not be read, or holds nothing.
var ErrUnreadToken = errors.New("the token could not be read")

// ServeTokens reads the tokens that callers of rapport serve may send: those of serve.tokens, and serve.token with every role. There may be none. Its
// error joins all that is wrong, each by the entry's name, and repeats no secret; those that will do are returned beside it.
func (p *Project) ServeTokens(env func(string) string) ([]ServeToken, error) {
	var out []ServeToken
	var faults []error
	add := func(t ServeToken, path, spec string, least int) {
		secret, fault := p.secret(spec, env)
		switch {
		case fault != nil:
			fault = fmt.Errorf("%s: %w: %w", path, ErrUnreadToken, fault)
		case len(secret) < least:
			fault = fmt.Errorf("%s: it has %d characters, and at least %d are needed: openssl rand -hex 32 makes one", path, len(secret), least)
		default:
			if i := slices.IndexFunc(out, func(x ServeToken) bool { return x.Secret == secret }); i >= 0 {
				fault = fmt.Errorf("%s: %s and %s are one token: give each caller its own, or nobody can tell who asked", path, out[i].Name, t.Name)
			}
		}
		if fault != nil {
			faults = append(faults, fault)
			return
		}
		t.Secret = secret
		out = append(out, t)
	}
	if p.Serve.Token != "" {
		add(ServeToken{Name: plainToken, Roles: Roles, AlertAbove: int64(p.Serve.AlertAbove)}, plainToken, p.Serve.Token, 1)
	}
	for _, t := range p.Serve.Tokens {
		above := p.Serve.AlertAbove
		if t.AlertAbove != nil {
			above = *t.AlertAbove
		}
		add(ServeToken{Name: t.Name, Roles: t.Role, AlertAbove: int64(above)}, fmt.Sprintf("serve.tokens (%s)", t.Name), t.Token, leastToken)
	}
	return out, errors.Join(faults...)
}

// OpenSecrets lists the keys of the project file whose secret stands in a file that others than its owner and its group can read, or that its group can
// write. A file that is not there is not listed: who needs it says so.
func (p *Project) OpenSecrets() (out []string) {
	specs := map[string]string{
		"pseudonyms.key": p.Pseudonyms.Key, plainToken: p.Serve.Token, "online.password": p.Online.Password, "lineage.token": p.Lineage.Token, "online.key_file": "file:" + p.Online.KeyFile,
		"storage.key_file": "file:" + p.Storage.KeyFile,
	}
	for i, k := range p.Pseudonyms.Previous {
		specs[fmt.Sprintf("pseudonyms.previous[%d].key", i)] = k.Key
	}
	for _, t := range p.Serve.Tokens {
		specs[fmt.Sprintf("serve.tokens (%s)", t.Name)] = t.Token
	}
	for i, a := range p.Alerts {
		specs[fmt.Sprintf("alerts[%d].webhook", i)], specs[fmt.Sprintf("alerts[%d].secret", i)] = a.Webhook, a.Secret
	}
	for key, spec := range specs {
		name, ok := strings.CutPrefix(spec, "file:")
		if !ok || name == "" {
			continue
		}
		if info, err := os.Stat(p.path(name)); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o027 != 0 {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}
