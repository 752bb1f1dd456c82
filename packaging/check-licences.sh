#!/usr/bin/env bash
# Every dependency's licence is one we allow: MIT, Apache-2.0, BSD, ISC, Zlib, MPL-2.0, Unicode, CC0.
set -euo pipefail
cd "$(dirname "$0")/.."

allowed='^(MIT|MIT-0|Apache-2\.0|Apache-2\.0 WITH LLVM-exception|BSD-2-Clause|BSD-3-Clause|0BSD|ISC|Zlib|MPL-2\.0|Unicode-3\.0|Unicode-DFS-2016|CC0-1\.0)$'

bad=0
while IFS=$'\t' read -r name licence; do
    [ -n "$name" ] || continue
    # Of alternatives (OR, or the old slash) one must be allowed; of what is joined (AND) all.
    fine=1
    while IFS= read -r part; do
        one=0
        while IFS= read -r choice; do
            choice=$(sed -E 's/^[( ]+//; s/[) ]+$//' <<<"$choice")
            grep -Eq "$allowed" <<<"$choice" && one=1
        done < <(sed -E 's# OR |/#\n#g' <<<"$part")
        [ $one = 1 ] || fine=0
    done < <(sed -E 's/ AND /\n/g' <<<"$licence")
    if [ $fine = 0 ]; then
        echo "licence not allowed: $name: $licence" >&2
        bad=1
    fi
done < <(cargo tree --locked --workspace --edges normal,build --prefix none --format $'{p}\t{l}' |
    sed -E 's/ \(\*\)$//; s/ v[0-9][^\t]*//' | sort -u | grep -v '^hengwei')
exit $bad
