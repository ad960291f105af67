package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/diag"

	"github.com/urfave/cli/v2"
)

// shells are those that completion is written for.
var shells = []struct {
	name    string
	install string
	write   func(w *strings.Builder, commands []shellCommand)
}{
	{"bash", "source <(modeldoctor completion bash)   in ~/.bashrc", bashCompletion},
	{"zsh", "source <(modeldoctor completion zsh)    in ~/.zshrc, after compinit", zshCompletion},
	{"fish", "modeldoctor completion fish | source    in ~/.config/fish/config.fish", fishCompletion},
}

func shellNames() []string {
	var names []string
	for _, s := range shells {
		names = append(names, s.name)
	}
	return names
}

func completionCommand() *cli.Command {
	var install []string
	for _, s := range shells {
		install = append(install, s.install)
	}
	return withHelp(&cli.Command{
		Name:         "completion",
		Usage:        "print what makes a shell complete commands, flags and their values: " + strings.Join(shellNames(), ", "),
		ArgsUsage:    "SHELL",
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			name, err := oneArgument(c, "SHELL")
			if err != nil {
				return err
			}
			for _, s := range shells {
				if s.name == name {
					var b strings.Builder
					s.write(&b, completions(c.App))
					_, err := io.WriteString(c.App.Writer, b.String())
					return err
				}
			}
			return usage("completion: %q is none of %s", name, strings.Join(shellNames(), ", "))
		},
	}, install...)
}

// shellCommand is a command as a shell completes it.
type shellCommand struct {
	name, help string
	arguments  []string // words that can stand behind it; nil: files
	flags      []shellFlag
}

// shellFlag is a flag as a shell completes it.
type shellFlag struct {
	long, short string
	help        string
	value       string   // the placeholder of its value; empty: it takes none
	words       []string // that the value can be, or begin with
	files       bool     // it can be the name of a file
	list        bool     // of several, separated by commas
}

// completions are the commands of the app.
func completions(app *cli.App) []shellCommand {
	var commands []shellCommand
	for _, command := range app.Commands {
		if command.Hidden {
			continue
		}
		next := shellCommand{name: command.Name, help: command.Usage, arguments: argumentWords(app, command.Name)}
		for _, f := range command.Flags {
			flag := shellFlag{long: f.Names()[0]}
			if len(f.Names()) > 1 {
				flag.short = f.Names()[1]
			}
			flag.value, flag.help = valueName(f)
			flag.help = firstClause(flag.help)
			if flag.value != "" {
				flag.words = suggestions(command.Name, flag.long)
			}
			_, isText := f.(*cli.StringFlag)
			_, flag.list = f.(*cli.StringSliceFlag)
			flag.files = isText && len(choices(flag.long)) == 0
			next.flags = append(next.flags, flag)
		}
		commands = append(commands, next)
	}
	return commands
}

// argumentWords are the words that can stand behind a command; nil where those are files.
func argumentWords(app *cli.App, command string) []string {
	var words []string
	switch command {
	case "completion":
		words = shellNames()
	case "config":
		words = append(slices.Clone(configVerbs), configured(app)...)
	case "data":
		words = []string{"ls", "get"}
		for _, a := range cifar.Archives() {
			words = append(words, a.Name)
		}
	case "explain":
		for _, r := range diag.Rules() {
			words = append(words, r.ID)
		}
		for _, t := range diag.Terms() {
			words = append(words, t.Name)
		}
	}
	return words
}

// firstClause is the beginning of a flag's description, for a list.
func firstClause(help string) string {
	for _, end := range []string{"; ", ". ", ": ", " ("} {
		help, _, _ = strings.Cut(help, end)
	}
	return help
}

func commandNames(commands []shellCommand) []string {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	return names
}

// spellings are a flag as it stands on a command line.
func (f *shellFlag) spellings() []string {
	spellings := []string{"--" + f.long}
	if f.short != "" {
		spellings = append(spellings, "-"+f.short)
	}
	return spellings
}

// bashCompletion writes a function that needs nothing but bash 3.2. Bash makes words of
// their own of = and of what stands on its sides.
func bashCompletion(w *strings.Builder, commands []shellCommand) {
	fmt.Fprintf(w, `# Completion of modeldoctor for bash: source <(modeldoctor completion bash)
_modeldoctor() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words='' flags='' files=yes
    if [[ $cur == '=' ]]; then
        cur=''
    elif [[ $prev == '=' ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W '%s' -- "$cur"))
        return
    fi
    case "${COMP_WORDS[1]} $prev" in
`, strings.Join(commandNames(commands), " "))
	for _, c := range commands {
		for _, f := range c.flags {
			if f.value == "" {
				continue
			}
			var patterns []string
			for _, s := range f.spellings() {
				patterns = append(patterns, fmt.Sprintf("'%s %s'", c.name, s))
			}
			files := ""
			if f.files {
				files = "yes"
			}
			fmt.Fprintf(w, "    %s) words='%s' files=%s ;;\n", strings.Join(patterns, "|"), strings.Join(f.words, " "), files)
		}
	}
	w.WriteString("    *)\n        case \"${COMP_WORDS[1]}\" in\n")
	for _, c := range commands {
		var spellings []string
		for _, f := range c.flags {
			spellings = append(spellings, f.spellings()...)
		}
		files := "yes"
		if c.arguments != nil {
			files = ""
		}
		fmt.Fprintf(w, "        %s) flags='%s' words='%s' files=%s ;;\n", c.name, strings.Join(append(spellings, "--help"), " "), strings.Join(c.arguments, " "), files)
	}
	w.WriteString(`        esac
        if [[ $cur == -* ]]; then
            COMPREPLY=($(compgen -W "$flags" -- "$cur"))
            return
        fi
        ;;
    esac
    # of several values with commas the last one is completed
    local last=${cur##*,}
    local head=${cur%"$last"}
    COMPREPLY=($(compgen -P "$head" -W "$words" -- "$last"))
    if [[ $files && ${#COMPREPLY[@]} -eq 0 ]]; then
        compopt -o filenames 2>/dev/null
        local IFS=$'\n'
        COMPREPLY=($(compgen -f -- "$cur"))
    fi
}
complete -F _modeldoctor modeldoctor
`)
}

// zshCompletion writes a function for zsh, to be sourced or to lie in a folder of fpath.
func zshCompletion(w *strings.Builder, commands []shellCommand) {
	w.WriteString("#compdef modeldoctor\n# Completion of modeldoctor for zsh: source <(modeldoctor completion zsh)\n_modeldoctor() {\n    local -a commands\n    commands=(\n")
	for _, c := range commands {
		fmt.Fprintf(w, "        %s\n", quoted(c.name+":"+strings.ReplaceAll(c.help, ":", `\:`)))
	}
	w.WriteString("    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in\n")
	escape := strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`)
	for _, c := range commands {
		fmt.Fprintf(w, "    %s)\n        _arguments -s", c.name)
		for _, f := range c.flags {
			action := ""
			switch {
			case f.value == "":
			case f.list && len(f.words) > 0:
				action = fmt.Sprintf(":%s:_sequence compadd - %s", f.value, strings.Join(f.words, " "))
			case f.files && len(f.words) > 0:
				action = fmt.Sprintf(":%s:{compadd %s; _files}", f.value, strings.Join(f.words, " "))
			case len(f.words) > 0:
				action = fmt.Sprintf(":%s:(%s)", f.value, strings.Join(f.words, " "))
			case f.files:
				action = fmt.Sprintf(":%s:_files", f.value)
			default:
				action = fmt.Sprintf(":%s: ", f.value)
			}
			for _, spelling := range f.spellings() {
				if f.value != "" && strings.HasPrefix(spelling, "--") {
					spelling += "="
				}
				fmt.Fprintf(w, " \\\n            %s", quoted(fmt.Sprintf("%s[%s]%s", spelling, escape.Replace(f.help), strings.ReplaceAll(action, "|", `\|`))))
			}
		}
		arguments := "*:file:_files"
		if c.arguments != nil {
			arguments = fmt.Sprintf("*:argument:(%s)", strings.Join(c.arguments, " "))
		}
		fmt.Fprintf(w, " \\\n            '--help[say how it is used]' \\\n            %s ;;\n", quoted(arguments))
	}
	w.WriteString("    esac\n}\nif [[ $funcstack[1] == _modeldoctor ]]; then\n    _modeldoctor \"$@\"\nelse\n    compdef _modeldoctor modeldoctor\nfi\n")
}

// fishCompletion writes the rules of fish.
func fishCompletion(w *strings.Builder, commands []shellCommand) {
	w.WriteString("# Completion of modeldoctor for fish: modeldoctor completion fish | source\n")
	for _, c := range commands {
		fmt.Fprintf(w, "complete -c modeldoctor -f -n __fish_use_subcommand -a %s -d %s\n", c.name, fishQuoted(c.help))
	}
	for _, c := range commands {
		rule := fmt.Sprintf("complete -c modeldoctor -n '__fish_seen_subcommand_from %s'", c.name)
		if c.arguments != nil {
			fmt.Fprintf(w, "%s -f -a %s\n", rule, fishQuoted(strings.Join(c.arguments, " ")))
		}
		for _, f := range c.flags {
			fmt.Fprintf(w, "%s -l %s", rule, f.long)
			if f.short != "" {
				fmt.Fprintf(w, " -%s %s", map[bool]string{true: "s", false: "o"}[len(f.short) == 1], f.short)
			}
			switch {
			case f.value == "":
			case f.files:
				w.WriteString(" -r -F")
			default:
				w.WriteString(" -x")
			}
			if len(f.words) > 0 {
				fmt.Fprintf(w, " -a %s", fishQuoted(strings.Join(f.words, " ")))
			}
			fmt.Fprintf(w, " -d %s\n", fishQuoted(f.help))
		}
	}
}

// quoted is a text as one word of a POSIX shell, or of zsh.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// fishQuoted is a text as one word of fish.
func fishQuoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}
