package inspect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rapport-ml/rapport/storage"
)

// TestNameTells: columns as exports name them in several languages are known by their words, and those that exports have for other things are not.
func TestNameTells(t *testing.T) {
	for name, want := range map[string]string{
		"diagnosis_code": "health", "Krankenkasse": "health", "estadoSalud": "health", "isPregnant": "health", "sexual_orientation": "sex life and sexual orientation",
		"religion": "religion and belief", "Konfession": "religion and belief", "political_party": "political opinions", "tradeUnion": "trade union membership",
		"ethnicity": "racial or ethnic origin", "nationalité": "racial or ethnic origin", "dna_marker": "genetic and biometric data", "criminal_record": "criminal convictions",
		"casier_judiciaire": "criminal convictions", "age": "children", "customer.birthDate": "children", "geburtsdatum": "children", "kids_count": "children", "edad": "children",
		"zip": "location", "home.lat": "location", "PLZ": "location", "codice_postal": "location", "código_postal": "location", "email": "contact", "vorname": "contact", "phoneNumber": "contact",
		"comment": "free text", "freitext": "free text", "customer_notes": "free text",
	} {
		got := ""
		if c := NameTells(name); c != nil {
			got = c.Topic
		}
		if got != want {
			t.Errorf("%q tells of %q, want %q", name, got, want)
		}
	}
	// What the demo and the data sets that rapport imports have, and common names of exports.
	for _, name := range []string{
		"user_id", "sku", "ts", "action", "amount", "device", "category", "brand", "price", "title", "genres", "age_band", "gender", "country", "plan", "income", "household_comp",
		"event_time", "event_type", "product_id", "category_id", "category_code", "user_session", "transactionid", "visitorid", "itemid", "parent_id", "rating", "movieId", "occupation",
		"department", "quantity", "store_id", "week", "campaign", "message_id", "language", "birthday_sale_type", "page", "average", "image", "percentage", "platform",
	} {
		if c := NameTells(name); c != nil {
			t.Errorf("%q is said to tell of %s", name, c.Topic)
		}
	}
	topics := map[string]bool{}
	for _, c := range categories() {
		if topics[c.Topic] || c.Topic == "" || c.Do == "" || len(c.Words) == 0 {
			t.Errorf("topic %q stands twice, or lacks something", c.Topic)
		}
		topics[c.Topic] = true
		for _, w := range c.Words {
			if got := NameTells(strings.ReplaceAll(strings.ReplaceAll(w, "*", ""), " ", "_")); got == nil {
				t.Errorf("%s: the word %q is never met", c.Topic, w)
			}
		}
	}
}

// TestTells: values that look like addresses, texts that people wrote and dates of birth are known whatever their column is called; no value is told.
func TestTells(t *testing.T) {
	type row struct {
		User  string `parquet:"user_id"`
		A     string `parquet:"attr_a"`
		B     string `parquet:"attr_b"`
		C     string `parquet:"attr_c"`
		D     string `parquet:"attr_d"`
		Plain string `parquet:"plan"`
		Faith string `parquet:"faith"`
	}
	var rows []row
	for i := range 300 {
		rows = append(rows, row{
			User: fmt.Sprintf("u%d", i), A: fmt.Sprintf("p%d@example.com", i), B: fmt.Sprintf("the box of order %d was broken when it came", i),
			C: fmt.Sprintf("19%02d-03-07", 30+i%70), D: fmt.Sprintf("10.0.%d.%d", i/250, i%250), Plain: []string{"free", "paid"}[i%2], Faith: "x",
		})
	}
	dir := t.TempDir()
	write(t, dir, "people.parquet", rows)
	b, err := storage.Open(t.Context(), "file:"+dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := b.Head(t.Context(), "people.parquet")
	if err != nil {
		t.Fatal(err)
	}
	found, err := Tells(t.Context(), b, info)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"attr_a": "contact", "attr_b": "free text", "attr_c": "children", "attr_d": "location", "faith": "religion and belief"}
	for name, c := range found {
		if c.Topic != want[name] {
			t.Errorf("%s: %s, want %q", name, c.Topic, want[name])
		}
		if s := c.String(); strings.Contains(s, "@") || strings.Contains(s, "10.0") {
			t.Errorf("a value is told: %s", s)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}
