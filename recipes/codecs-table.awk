# The table of recipes/codecs.sh: the last measured round, by codec. Differences to dense are paired over the seeds.
# Input: codec, seed, round, tokens, bytes, loss.
BEGIN { FS = "\t" }
{
    if ($3 > last) last = $3
    loss[$1, $2, $3] = $6
    bytes[$1, $2, $3] = $5
    seeds[$2]
}
function abs(x) { return x < 0 ? -x : x }
END {
    n = split(order, codecs, " ")
    printf "%-12s%14s%10s%10s%10s%10s%12s%22s\n", "round " last, "bytes/round", "to f32", "loss", "least", "most", "to dense", "least and most"
    for (i = 1; i <= n; i++) {
        c = codecs[i]
        sum = count = difference = pairs = 0
        least = low = 1e30; most = high = -1e30
        for (s in seeds) {
            if (!((c, s, last) in loss)) continue
            l = loss[c, s, last]; sum += l; count++
            if (l < least) least = l
            if (l > most) most = l
            b = bytes[c, s, last] / last
            if (("dense", s, last) in loss) {
                d = 100 * (l / loss["dense", s, last] - 1); difference += d; pairs++
                if (d < low) low = d
                if (d > high) high = d
            }
        }
        if (!count) continue
        printf "%-12s", c
        if (c == "adamw") printf "%14s%10s", "-", "-"
        else printf "%14d%10.1f", b, f32 / b
        printf "%10.4f%10.4f%10.4f", sum / count, least, most
        if (pairs) printf "%11.2f%%%21s", difference / pairs, sprintf("%.2f %% to %.2f %%", low, high)
        printf "\n"
    }
}
