package configs

import (
	"fmt"
	"slices"

	"github.com/rapport-ml/rapport/features/policy"
)

// term is a name that others have for a basis or for a use, in plain words.
type term struct {
	says  string
	basis policy.Basis // that it stands for, or that it needs; "": either
}

// terms are the names that a purpose may give beside its basis: legal bases and purposes of the W3C Data Privacy Vocabulary 2 and of its extension for the
// GDPR, and the purposes of the IAB Transparency and Consent Framework 2.2, of which 1 and 3 to 6 may rest on consent alone.
var terms = map[string]term{
	"dpv:Consent":                        {"people have agreed to it", policy.Consent},
	"dpv:InformedConsent":                {"people have agreed to it, and were told beforehand what it means", policy.Consent},
	"dpv:ExpressedConsent":               {"people have agreed to it by doing something, as ticking a box", policy.Consent},
	"dpv:ExplicitlyExpressedConsent":     {"people have agreed to it in so many words", policy.Consent},
	"eu-gdpr:A6-1-a":                     {"consent, as article 6(1)(a) of the GDPR has it", policy.Consent},
	"eu-gdpr:A9-2-a":                     {"explicit consent to data of special categories, as article 9(2)(a) of the GDPR has it", policy.Consent},
	"dpv:LegitimateInterest":             {"somebody's interest that outweighs what it means for people, who may object", policy.LegitimateInterest},
	"dpv:LegitimateInterestOfController": {"an interest of whoever runs this that outweighs what it means for people, who may object", policy.LegitimateInterest},
	"dpv:LegitimateInterestOfThirdParty": {"an interest of somebody else that outweighs what it means for people, who may object", policy.LegitimateInterest},
	"eu-gdpr:A6-1-f":                     {"a legitimate interest, as article 6(1)(f) of the GDPR has it", policy.LegitimateInterest},

	"dpv:Personalisation":                    {"fitting something to a person", ""},
	"dpv:ServicePersonalisation":             {"fitting a service to a person", ""},
	"dpv:ProvidePersonalisedRecommendations": {"recommending to a person what may suit that person", ""},
	"dpv:ProvideProductRecommendations":      {"recommending products", ""},
	"dpv:ProvideEventRecommendations":        {"recommending events", ""},
	"dpv:PersonalisedBenefits":               {"offering a person benefits that fit", ""},
	"dpv:PersonalisedAdvertising":            {"advertising that is fitted to a person", ""},
	"dpv:ServiceOptimisation":                {"making a service work better", ""},
	"dpv:ServiceUsageAnalytics":              {"finding out how a service is used", ""},

	"tcf:1":  {"storing information on a device, or reading it there", policy.Consent},
	"tcf:2":  {"choosing advertising by limited data", ""},
	"tcf:3":  {"making profiles for personalised advertising", policy.Consent},
	"tcf:4":  {"choosing personalised advertising by profiles", policy.Consent},
	"tcf:5":  {"making profiles to personalise content", policy.Consent},
	"tcf:6":  {"choosing personalised content by profiles", policy.Consent},
	"tcf:7":  {"measuring how advertising does", ""},
	"tcf:8":  {"measuring how content does", ""},
	"tcf:9":  {"understanding audiences by statistics, or by data of several sources", ""},
	"tcf:10": {"developing services and making them better", ""},
	"tcf:11": {"choosing content by limited data", ""},
}

// checkTerms refuses terms that are none, or that stand for another basis than the purpose has.
func (p *Project) checkTerms(name string, pu Purpose) {
	path := "purposes." + name + ".term"
	for i, t := range pu.Term {
		known, ok := terms[t]
		switch {
		case !ok:
			hint := "the terms are listed in docs/contracts.md, Purposes"
			if near := nearest(t, sortedKeys(terms)); near != "" {
				hint = "did you mean " + near + "?"
			}
			p.dec.at(path, hint, "%q is no term of DPV or TCF that a purpose can have", t)
		case slices.Contains(pu.Term[:i], t):
			p.dec.at(path, "", "%q is given twice", t)
		case known.basis != "" && string(known.basis) != pu.Basis:
			p.dec.at(path, fmt.Sprintf("basis: %s, or another term", known.basis), "%s says: %s; the basis is %s", t, known.says, pu.Basis)
		}
	}
}

// RegisterTerm is a term with its plain words.
type RegisterTerm struct {
	Term string `json:"term"`
	Says string `json:"says"`
}

// String writes both.
func (t RegisterTerm) String() string { return t.Term + " (" + t.Says + ")" }

// Terms are the terms of a purpose in the order of the project file.
func (p *Project) Terms(purpose string) []RegisterTerm {
	out := []RegisterTerm{}
	for _, t := range p.Purposes[purpose].Term {
		out = append(out, RegisterTerm{t, terms[t].says})
	}
	return out
}
