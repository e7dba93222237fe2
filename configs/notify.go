package configs

import (
	"fmt"

	"github.com/rapport-ml/rapport/jobs/alert"
	"github.com/rapport-ml/rapport/jobs/lineage"
)

// Destinations are the places under alerts. A secret or an address that can't be read now is the Fault of its destination: alerts fail to arrive
// there, and say so, while runs go on.
func (o *Opened) Destinations() []alert.Destination {
	var out []alert.Destination
	for i, a := range o.Alerts {
		d := alert.Destination{Where: fmt.Sprintf("alerts[%d]", i), Format: a.Format, Link: a.Link, Address: a.Webhook}
		for _, kind := range a.On {
			d.On = append(d.On, alert.Kind(kind))
		}
		if isSecretPlace(a.Webhook) {
			d.Address, d.Fault = o.secret(a.Webhook, o.env)
		}
		secret, err := o.secret(a.Secret, o.env)
		if d.Fault == nil {
			d.Fault = err
		}
		d.Secret = []byte(secret)
		out = append(out, d)
	}
	return out
}

// LineageOptions are the settings under lineage, and how the stores and sources of the project are named in events. What only the caller knows
// (clock, log, session) is left out.
func (o *Opened) LineageOptions() lineage.Options {
	l := o.Lineage
	out := lineage.Options{
		Bucket: o.Bucket, Storage: o.absolute(o.Storage.URL), Online: o.absolute(o.Project.Online.URL), Namespace: l.Namespace, Resolve: o.absolute,
		File: o.path(l.File), URL: l.URL,
	}
	if out.Namespace == "" {
		out.Namespace = o.Project.Project
	}
	out.Token, out.Fault = o.secret(l.Token, o.env)
	return out
}
