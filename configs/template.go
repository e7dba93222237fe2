package configs

import (
	"embed"
	"fmt"
	"strings"
	"time"
)

//go:embed templates
var templates embed.FS

// TemplateNames are the project files that Template knows.
var TemplateNames = []string{"quickstart", "s3", "completejourney"}

// Template returns a commented project file. now pins the clock of a project of old data; raw is the URL under which imported files stand.
func Template(name string, now time.Time, raw string) ([]byte, error) {
	body, err := templates.ReadFile("templates/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("no template %q; there are %s", name, strings.Join(TemplateNames, ", "))
	}
	return []byte(strings.NewReplacer("@NOW@", now.UTC().Format(time.RFC3339), "@RAW@", strings.TrimSuffix(raw, "/")).Replace(string(body))), nil
}
