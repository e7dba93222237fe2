package configs

import (
	"context"

	"github.com/rapport-ml/rapport/features/event"
)

func (p *Project) checkIdentities() {
	l, d := p.Sources.Identities, p.dec
	if l == nil {
		return
	}
	if l.Path == "" {
		d.at("sources.identities.path", "the files that say which ids are one person's", "missing")
	} else {
		p.checkURL("sources.identities.path", l.Path, true)
	}
	for _, c := range []struct{ key, value, hint string }{
		{"from", l.From, "the column that holds the other id, as cookie_id"},
		{"to", l.To, "the column that holds the id that the person is known by, as user_id"},
	} {
		if c.value == "" {
			d.at("sources.identities."+c.key, c.hint, "missing")
		}
	}
	if l.From != "" && l.From == l.To {
		d.at("sources.identities.to", "a link has two ids: name a column for each", "is the column that from names")
	}
}

// linkedBy opens the declared identity table.
func (o *Opened) linkedBy(ctx context.Context) (*event.DataSet, error) {
	l := o.Sources.Identities
	d, err := o.dataSet(ctx, "identities", l.Path, map[string]string{event.ColAlias: l.From, event.ColMain: l.To})
	return &d, err
}
