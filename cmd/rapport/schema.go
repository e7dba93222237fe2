package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/configs"
	"github.com/rapport-ml/rapport/eval"
)

func (a *app) schemaCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [project|report]",
		Short: "Print the JSON Schema of rapport.yaml, for editors, or of reports",
		Long: "Print the JSON Schema (draft 2020-12) of project files. Editors that know the YAML language server complete and check a file that\n" +
			"begins with\n\n  # yaml-language-server: $schema=./rapport.schema.json\n\nwhere rapport schema > rapport.schema.json has written it.",
		Args:      usage(cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: []string{"project", "report"},
		RunE: func(_ *cobra.Command, args []string) error {
			schema := configs.Schema
			if len(args) == 1 && args[0] == "report" {
				schema = eval.Schema
			}
			body, err := schema()
			if err != nil {
				return err
			}
			_, werr := a.out.Write(body)
			return errors.Join(err, werr)
		},
	}
}
