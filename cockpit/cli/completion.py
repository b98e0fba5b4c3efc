"""Shell completion, generated from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from cockpit.cli.answers import Answer
from cockpit.cli.arguments import COMMANDS, parser_of
from cockpit.cli.options import LISTS
from cockpit.domain.checklist import VOUCHED
from cockpit.domain.permissions import Role
from cockpit.domain.reasons import Reason

_FILES = ("--config", "--output", "--public-key")
_LISTED = {"id": "breakers", "objective": "objectives", "rule": "rules"}
_VALUES = {
    "--reason": [reason.value for reason in Reason],
    "--role": [role.value for role in Role],
    "--checked": ["all", *(item.item_id for item in VOUCHED)],
}


def completion(options: argparse.Namespace) -> Answer | int:
    """Print the script for one shell; `breakers`, `objectives` and `rules` print names, which the scripts
    ask for."""
    if options.shell in LISTS:
        names = _names(options.shell, options)
        return Answer({options.shell: list(names)}, tuple(names))
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell]()
    if options.json:
        return Answer({"shell": options.shell, "script": script})
    print(script, end="")
    return 0


def _options(words: str) -> list[tuple[str, str]]:
    """The long options of one command, with their help."""
    actions = parser_of(words)._actions
    return [
        (name, action.help or "") for action in actions for name in action.option_strings if name[:2] == "--"
    ]


def _names(kind: str, options: argparse.Namespace) -> Sequence[str]:
    from cockpit.cli.wiring import settings_of

    settings = settings_of(options)
    if kind == "breakers":
        return settings.catalogue.ids
    if kind == "objectives":
        from cockpit.cli.slos import objective_names

        return objective_names(settings)
    from cockpit.cli.triggers import rule_names

    return rule_names(settings)


def _list_of(words: str) -> str:
    """Which of the lists the command's first argument is from, "" for none."""
    dests = [action.dest for action in parser_of(words)._actions if not action.option_strings]
    return next((_LISTED[dest] for dest in dests if dest in _LISTED), "")


def _words() -> Iterator[str]:
    yield from (words for words in COMMANDS if words)


def _bash() -> str:
    cases = "\n".join(
        f'    "{words}") options="{" ".join(name for name, _ in _options(words))}"; '
        f'listed="{_list_of(words)}" ;;'
        for words in _words()
    )
    values = "\n".join(
        f'    {name}) COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$current")); return ;;'
        for name, words in _VALUES.items()
    )
    firsts = " ".join(sorted({words.split()[0] for words in _words()}))
    seconds = "\n".join(f'    {group}) seconds="{" ".join(_seconds(group))}" ;;' for group in _groups())
    pairs = "|".join(f'"{words}"' for words in _words() if " " in words)
    return f"""# cockpit completion for bash: source <(cockpit completion bash)
_cockpit() {{
  local current previous words options listed seconds
  current=${{COMP_WORDS[COMP_CWORD]}}; previous=${{COMP_WORDS[COMP_CWORD-1]}}
  _get_comp_words_by_ref -n : current previous 2>/dev/null || true
  case "$previous" in
    {"|".join(_FILES)}) COMPREPLY=($(compgen -f -- "$current")); return ;;
{values}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{firsts} --config --profile --login --json --help" -- "$current")); return
  fi
  words=${{COMP_WORDS[1]}}
  if [ "$COMP_CWORD" -eq 2 ]; then case "$words" in
{seconds}
  esac; fi
  case "$words ${{COMP_WORDS[2]}}" in {pairs}) words="$words ${{COMP_WORDS[2]}}" ;; esac
  case "$words" in
{cases}
  esac
  if [ -n "$listed" ] && [ "${{current#-}}" = "$current" ]; then
    options=$(cockpit completion "$listed" 2>/dev/null)
  fi
  COMPREPLY=($(compgen -W "$seconds $options" -- "$current"))
  declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$current"
}}
complete -F _cockpit cockpit
"""


def _zsh() -> str:
    cases = "\n".join(
        f"    ({words.replace(' ', '-')}) options=({' '.join(name for name, _ in _options(words))}); "
        f"listed='{_list_of(words)}' ;;"
        for words in _words()
    )
    values = "\n".join(
        f"    ({name}) compadd -- {' '.join(words)}; return ;;" for name, words in _VALUES.items()
    )
    seconds = "\n".join(f"    ({group}) compadd -- {' '.join(_seconds(group))} ;;" for group in _groups())
    pairs = "|".join(words.replace(" ", "-") for words in _words() if " " in words)
    firsts = " ".join(sorted({words.split()[0] for words in _words()}))
    return f"""#compdef cockpit
# cockpit completion for zsh: source <(cockpit completion zsh)
_cockpit() {{
  local previous=$words[CURRENT-1] command=$words[2] listed
  local -a options
  case $previous in
    ({"|".join(_FILES)}) _files; return ;;
{values}
  esac
  if (( CURRENT == 2 )); then compadd -- {firsts}; return; fi
  if (( CURRENT == 3 )); then case $command in
{seconds}
  esac; fi
  case $command-$words[3] in ({pairs}) command="$command-$words[3]" ;; esac
  case $command in
{cases}
  esac
  if [[ -n $listed && $words[CURRENT] != -* ]]; then
    compadd -- ${{(f)"$(cockpit completion $listed 2>/dev/null)"}}
  fi
  compadd -- $options
}}
compdef _cockpit cockpit
"""


def _fish() -> str:
    lines = ["# cockpit completion for fish: cockpit completion fish | source", "complete -c cockpit -f"]
    for first in sorted({words.split()[0] for words in _words()}):
        help_text = COMMANDS[first].help if first in COMMANDS else "…"
        lines.append(f"complete -c cockpit -n __fish_use_subcommand -a {first} -d '{_quoted(help_text)}'")
    for words in _words():
        seen = " ".join(f"; and __fish_seen_subcommand_from {word}" for word in words.split()).removeprefix(
            "; and "
        )
        lines += [
            f"complete -c cockpit -n '{seen}' -l {name[2:]} -d '{_quoted(text)}'{_fish_value(name)}"
            for name, text in _options(words)
        ]
        if listed := _list_of(words):
            lines.append(f"complete -c cockpit -n '{seen}' -a '(cockpit completion {listed} 2>/dev/null)'")
    for group in _groups():
        lines.append(
            f"complete -c cockpit -n '__fish_seen_subcommand_from {group}' -a '{' '.join(_seconds(group))}'"
        )
    return "\n".join(lines) + "\n"


def _fish_value(name: str) -> str:
    if name in _FILES:
        return " -r -F"
    return f" -x -a '{' '.join(_VALUES[name])}'" if name in _VALUES else ""


def _groups() -> list[str]:
    return sorted({words.split()[0] for words in _words() if " " in words})


def _seconds(group: str) -> list[str]:
    return [words.split()[1] for words in _words() if words.startswith(f"{group} ")]


def _quoted(text: str) -> str:
    return text.replace("\\", "").replace("'", "")
