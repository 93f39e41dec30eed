# Completion of dionode's command line for bash. Commands, options, configuration keys and their values are those that
# the program itself lists, whichever version of it stands first on the line.

_dionode() {
  # Bash cuts words at '='; here key=value is one word.
  local line=${COMP_LINE:0:COMP_POINT} words current= program help
  read -ra words <<<"$line"
  if [[ $line != *[[:space:]] ]]; then
    current=${words[-1]}
    unset 'words[-1]'
  fi
  program=${words[0]/#\~/$HOME}
  COMPREPLY=()
  type -P "$program" >/dev/null || return

  local command=("${words[@]:1:1}")
  [[ $command == bench || $command == tokenizer ]] && command=("${words[@]:1:2}")
  help=$("$program" "${command[@]}" --help 2>/dev/null)
  case "$current" in
    --*=*) COMPREPLY=($(compgen -f -- "${current#*=}")) ;;
    -*)
      COMPREPLY=($(compgen -W "$(sed -n 's/^ .\{1,5\}\(--[a-z_-]*=\{0,1\}\).*/\1/p' <<<"$help")" -- "$current"))
      ;;
    *=*)
      local values
      values=$("$program" train --keys | sed -n "s/^${current%%=*} .* (\([^()|]*|[^()]*\))\$/\1/p; s/^${current%%=*}  *\(true\|false\) .*/true false/p")
      if [[ $values ]]; then
        COMPREPLY=($(compgen -W "${values//|/ }" -- "${current#*=}"))
      else
        COMPREPLY=($(compgen -f -- "${current#*=}"))
      fi
      ;;
    *)
      COMPREPLY=($(compgen -W "$(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\)  *.*/\1/p' <<<"$help")" -- "$current"))
      if [[ $help == *'[key=value...]'* && ${#words[@]} -gt 2 ]]; then
        COMPREPLY+=($(compgen -S = -W "$("$program" train --keys | sed '1d; s/ .*//')" -- "$current"))
      fi
      ;;
  esac
  [[ ${#COMPREPLY[@]} -eq 1 && $COMPREPLY == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}

complete -o bashdefault -o default -F _dionode dionode
