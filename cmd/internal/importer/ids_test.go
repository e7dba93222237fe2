package importer

import (
	"strings"
	"testing"
)

func TestShapes(t *testing.T) {
	for id, want := range map[string]shape{
		"0": shapeWhole, "123": shapeWhole, "00123": shapePadded, "123.0": shapeFloat, "1.5": shapeFloat, "1.2E+11": shapeExp, "3e+05": shapeExp,
		"8b5b0f64-52a3-4ad5-8f47-4a1d1a8bd34e": shapeUUID, "8B5B0F64-52A3-4AD5-8F47-4A1D1A8BD34E": shapeUUID, "8b5b0f64-52a3-4ad5-8f47-4a1d1a8bd34g": shapeText,
		"u-1": shapeText, "": shapeText, ".5": shapeText, "1.": shapeText, "1e5": shapeText, "-7": shapeText, "12 ": shapeText, "٣": shapeText, "1.2E+": shapeText,
	} {
		if got := shapeOf(id); got != want {
			t.Errorf("%q: %s, want %s", id, got, want)
		}
	}
}

// An id that is written in two ways is two people: what looks like it is doubted, what is only a column of many kinds of id is not.
func TestDoubts(t *testing.T) {
	const uuid1, uuid2 = "8b5b0f64-52a3-4ad5-8f47-4a1d1a8bd34e", "8B5B0F64-52A3-4AD5-8F47-4A1D1A8BD34F"
	for name, c := range map[string]struct {
		ids  []string
		want string // "": no doubt
	}{
		"whole":            {[]string{"1", "22", "333"}, ""},
		"text":             {[]string{"a", "b"}, ""},
		"uuids":            {[]string{uuid1, uuid2}, ""},
		"one width":        {[]string{"00123", "12345"}, ""},
		"text among whole": {[]string{"123", "POST", "124"}, ""},
		"zeros of old": {
			[]string{"00123", "123", "124"},
			"column who: ids are numbers with leading zeros (1 row, first at f:1) and whole numbers (2 rows, first at f:2) of another width: 00123 and 123 are two ids here",
		},
		"zeros of two widths": {[]string{"00123", "0123", "12345"}, "of another width"},
		"whole, then uuids":   {[]string{"123", "124", uuid1}, "ids are whole numbers (2 rows, first at f:1) and UUIDs (1 row, first at f:3)"},
		"whole among uuids":   {[]string{uuid1, "124", uuid2}, "and UUIDs"},
		"whole, then text":    {[]string{"123", "124", "u-125"}, "change half-way from whole numbers (2 rows, until f:2) to text (1 row, from f:3)"},
		"text, then whole":    {[]string{"u-123", "u-124", "125"}, "change half-way from text (2 rows, until f:2) to whole numbers (1 row, from f:3)"},
		"uuids, then text":    {[]string{uuid1, "u-124"}, "change half-way from UUIDs"},
		"pandas":              {[]string{"123.0", "124.0"}, "numbers with a fraction (as 123.0) (2 rows, first at f:1): they meet no id without the fraction"},
		"a spreadsheet":       {[]string{"1.2E+11"}, "a spreadsheet has cut off digits"},
		"white space":         {[]string{"a", "a ", " a"}, "ids with white space around them (2 rows, first at f:2): with and without it they are two; --trim"},
	} {
		t.Run(name, func(t *testing.T) {
			col := idColumn{column: "who"}
			for i, id := range c.ids {
				if got, err := col.read(id, place{"f", i + 1, int64(i + 1)}); err != nil || !strings.EqualFold(got, id) {
					t.Fatalf("%q is read as %q (%v)", id, got, err)
				}
			}
			got := strings.Join(col.doubts(), "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("doubts %q, want %q", got, c.want)
			}
		})
	}
}

func TestIDs(t *testing.T) {
	for text, want := range map[string]string{"NULL": "", "": "", "  ": "", "NaN": "", `\N`: "", " a ": "a", "0": "0"} {
		c := idColumn{trim: true}
		if got, err := c.read(text, place{}); got != want || err != nil {
			t.Errorf("%q: %q (%v), want %q", text, got, err, want)
		}
	}
	c := idColumn{}
	if _, err := c.read("secret"+strings.Repeat("x", 2000), place{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}
