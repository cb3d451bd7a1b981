#!/usr/bin/env bash
# Opens reports in a real headless Chromium at phone and desktop width, in light and dark: fails if
# the console says anything or the page is wider than the window. Screenshots go to $OUT, if set.
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: scripts/check_report.sh REPORT.html..."; exit 2; }
command -v chromium >/dev/null || { echo "needs chromium (apt-get install chromium)"; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
for page in "$@"; do
    bad=0
    url=file://$(realpath "$page")
    for width in 390 1280; do
        for theme in light dark; do
            shot=${OUT:-$work}/$(basename "$(dirname "$page")")-$theme-$width.png
            dark=()
            [ $theme = dark ] && dark=(--blink-settings=preferredColorScheme=0)
            chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" \
                --window-size=$width,1600 "${dark[@]}" --enable-logging=stderr \
                --screenshot="$shot" "$url" 2>"$work/log" >/dev/null
            if grep CONSOLE "$work/log"; then bad=1; fi
            [ -s "$shot" ] || { echo "$page: no screenshot"; failed=1; }
        done
        # A frame of the window's width tells how wide the page wants to be.
        printf '<iframe id=f width=%s height=800 src="%s"></iframe><p id=out>?</p><script>f.onload=()=>{out.textContent="width "+f.contentDocument.documentElement.scrollWidth}</script>' \
            $width "$url" >"$work/frame.html"
        wide=$(chromium --headless --no-sandbox --disable-gpu --allow-file-access-from-files \
            --user-data-dir="$work/profile" --virtual-time-budget=5000 --dump-dom "file://$work/frame.html" 2>/dev/null |
            grep -o 'width [0-9]*' | grep -o '[0-9]*')
        if [ "${wide:-99999}" -gt $width ]; then echo "$page: $wide pixels wide in a window of $width"; bad=1; fi
    done
    [ $bad = 0 ] && echo "$page: ok"
    failed=$((failed | bad))
done
exit $failed
