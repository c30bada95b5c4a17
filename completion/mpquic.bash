# Completion of mpquic(8) for bash. The build puts the table of verbs in, by gencompletion.

# Describe the verb of this whole name: subs, its sub-verbs; options, as they are offered; values,
# one " OPTION:KIND" for each option with an argument, in its short and in its long form; operand,
# a kind. A kind is the rest of the name of the function that lists the candidates, or - where
# nothing can be offered.
_mpquic_verb() # NAME
{
    subs='' options='' values='' operand=''
    case $1 in
@VERBS@
    esac
}

# ---- candidates, one a line

_mpquic_file() { compgen -f -- "$1"; }

_mpquic_dir() { compgen -d -- "$1"; }

_mpquic_interface() { compgen -G "/sys/class/net/$1*" | sed 's|.*/||'; }

# The instances that run and those that are configured.
_mpquic_instance()
{
    {
        compgen -G "${MPQUIC_RUN_DIR:-/run/mpquic}/$1*.sock"
        compgen -G "/etc/mpquic/$1*.yaml"
    } | sed 's|.*/||; s|\.[a-z]*$||' | sort -u
}

# ----

_mpquic_offer() # WORDS
{
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current")
}

_mpquic_offer_kind() # KIND
{
    case $1 in
    '' | -) return ;;
    file | dir) compopt -o filenames 2>/dev/null ;;
    esac
    mapfile -t COMPREPLY < <("_mpquic_$1" "$current")
}

# The kind of an option's argument; empty when it has none.
_mpquic_value() # OPTION
{
    local rest=${values#*" $1:"}
    [ "$rest" = "$values" ] || kind=${rest%% *}
}

_mpquic()
{
    local current=${COMP_WORDS[COMP_CWORD]} verb='' help='' kind word i
    local subs options values operand
    COMPREPLY=()
    _mpquic_verb ''
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -?*)
            kind=''
            _mpquic_value "$word"
            [ -n "$kind" ] || continue
            # --OPTION=VALUE arrives as three words.
            [ "${COMP_WORDS[i + 1]}" != = ] || i=$((i + 1))
            if ((i + 1 >= COMP_CWORD)); then
                [ "$current" != = ] || current=''
                _mpquic_offer_kind "$kind"
                return
            fi
            i=$((i + 1))
            ;;
        *)
            [ -n "$subs" ] || continue
            if [ "$verb$word" = help ]; then
                help=yes
                continue
            fi
            verb+=${verb:+ }$word
            _mpquic_verb "$verb"
            ;;
        esac
    done
    if [ -n "$help" ]; then
        _mpquic_offer "$subs"
    elif [[ $current == -* ]]; then
        _mpquic_offer "$options"
    elif [ -n "$subs" ]; then
        _mpquic_offer "$subs"
    elif [ -n "$operand" ]; then
        _mpquic_offer_kind "$operand"
    elif [ -z "$current" ]; then
        _mpquic_offer "$options"
    fi
}

complete -F _mpquic mpquic
