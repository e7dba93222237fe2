package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/rapport-ml/rapport/configs"
)

func (a *app) schemaCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of rapport.yaml, for editors",
		Long: "Print the JSON Schema (draft 2020-12) of project files. Editors that know the YAML language server complete and check a file that\n" +
			"begins with\n\n  # yaml-language-server: $schema=./rapport.schema.json\n\nwhere rapport schema > rapport.schema.json has written it.",
		Args: usage(noArgs),
		RunE: func(*cobra.Command, []string) error {
			body, err := configs.Schema()
			if err != nil {
				return err
			}
			_, werr := a.out.Write(body)
			return errors.Join(err, werr)
		},
	}
}
