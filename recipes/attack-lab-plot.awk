# The plot of recipes/attack-lab.sh: one row an attack, one bar a mode of replay, whiskers for the 95 % interval. SVG.
BEGIN {
    FS = "\t"
    color["Off"] = "#d95f02"; color["Sampled"] = "#7570b3"; color["Full"] = "#1b9e77"
    split("Off Sampled Full", modes, " ")
    left = 170; scale = 260; top = 40; row = 34; most = 1.5
}
NR == 1 { next }
{
    if (!($1 in seen)) { seen[$1]; order[++n] = $1 }
    ratio[$1, $2] = $3; half[$1, $2] = $4
}
function x(value) { return left + scale * (value > most ? most : value < 0 ? 0 : value) }
END {
    width = left + scale * most + 30; height = top + n * row + 40
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"11\">\n", width, height
    printf "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
    printf "<text x=\"%d\" y=\"16\">pay a unit of compute spent, honest pay = 1 (whiskers: 95 %%)</text>\n", left
    for (m = 1; m <= 3; m++)
        printf "<rect x=\"%d\" y=\"22\" width=\"8\" height=\"8\" fill=\"%s\"/><text x=\"%d\" y=\"30\">replay %s</text>\n", left + 110 * (m - 1), color[modes[m]], left + 12 + 110 * (m - 1), tolower(modes[m])
    for (t = 0; t <= most; t += 0.5) {
        printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"%s\"/>\n", x(t), x(t), top, top + n * row, t == 1 ? "black" : "#ddd"
        printf "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.1f</text>\n", x(t), top + n * row + 14, t
    }
    for (i = 1; i <= n; i++) {
        y = top + (i - 1) * row
        printf "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", left - 8, y + 20, order[i]
        for (m = 1; m <= 3; m++) {
            r = ratio[order[i], modes[m]]; h = half[order[i], modes[m]]; at = y + 4 + 9 * (m - 1)
            printf "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"7\" fill=\"%s\"/>\n", x(0), at, x(r) - x(0) + 0.5, color[modes[m]]
            printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"black\"/>\n", x(r - h), x(r + h), at + 3.5, at + 3.5
        }
    }
    print "</svg>"
}
