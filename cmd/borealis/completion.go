package main

import (
	"strings"

	"github.com/spf13/cobra"
)

const completionHelp = `Print a script with which a shell completes borealis commands, flags, profile names and
values when you press Tab.

To try it out, in bash, zsh or fish, for the shell at hand only:

  source <(borealis completion bash)
  source <(borealis completion zsh)
  borealis completion fish | source

To have it in every new shell:

  bash         borealis completion bash > ~/.local/share/bash-completion/completions/borealis
               (needs the package bash-completion)
  zsh          borealis completion zsh > "${fpath[1]}/_borealis"
               (needs "autoload -U compinit; compinit" in ~/.zshrc)
  fish         borealis completion fish > ~/.config/fish/completions/borealis.fish
  powershell   borealis completion powershell >> $PROFILE`

var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:                   "completion bash|zsh|fish|powershell",
		Short:                 "Print a script that completes commands in your shell",
		Long:                  completionHelp,
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageErrorf("name one shell: %s", strings.Join(shells, ", "))
			}
			root, out := c.Root(), c.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return usageErrorf("there is no completion for the shell %q, but for %s", args[0], strings.Join(shells, ", "))
		},
	}
}

// group makes c a command that only has others below it: alone it prints its
// help, and a name that is not one of theirs is a mistake.
func group(c *cobra.Command) *cobra.Command {
	c.SuggestionsMinimumDistance = 2
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		if like := c.SuggestionsFor(args[0]); len(like) > 0 {
			return usageErrorf("%s has no command %q; did you mean %s?", c.CommandPath(), args[0], strings.Join(like, " or "))
		}
		return usageErrorf("%s has no command %q; see %[1]s --help", c.CommandPath(), args[0])
	}
	return c
}
